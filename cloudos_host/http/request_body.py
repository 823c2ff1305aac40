"""The body of a request: counted as it comes, whether it is gathered or taken piece by piece.

Who sends it is judged again at its end: a right that ended while it was on its way is a right no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from quart import Request
from quart.wrappers.request import Body
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge


class CountedBody(Body):
    """A request body that raises once it exceeds its limit; Quart counts only unread bytes."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._came = 0
        self.judge: Callable[[], Awaitable[object]] | None = None
        """Asked once, when the body is there; what it raises is raised to whoever reads the body."""

    def break_off(self) -> None:
        """Mark the client as gone, which ends waits for the rest of the body."""
        if not self._complete.is_set():
            self._must_raise = self._must_raise or ClientDisconnected()
            self.set_complete()

    def __await__(self) -> Generator[Any, None, bytes]:
        """Return the whole body."""
        return self._whole().__await__()

    async def _whole(self) -> bytes:
        if self._must_raise is None:
            await self._complete.wait()
        if self._must_raise is not None:
            raise self._must_raise
        await self._judge_again()
        return bytes(self._data)

    async def _judge_again(self) -> None:
        judge, self.judge = self.judge, None
        if judge is not None:
            await judge()

    def append(self, data: bytes) -> None:
        """Append received bytes; ignores them once the body is too long."""
        self._came += len(data)
        if self._max_content_length is not None and self._came > self._max_content_length:
            self._must_raise = self._must_raise or RequestEntityTooLarge()
            self._data.clear()
            self.set_complete()
            return
        super().append(data)

    async def __anext__(self) -> bytes:
        """Return the next bytes. Raises RequestEntityTooLarge if the body was cut off at its limit."""
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            if self._must_raise is not None:
                raise self._must_raise from None
            await self._judge_again()
            raise


class CountedRequest(Request):
    """A request whose body is counted."""

    body_class = CountedBody

    async def get_json(self, *args: Any, **options: Any) -> Any:
        """Return the body as JSON; one that was not sent is an object without members."""
        return await super().get_json(*args, **options) if await self.get_data(as_text=False) else {}
