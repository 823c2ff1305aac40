"""The body of a request: counted as it comes, whether it is gathered or taken piece by piece."""

from __future__ import annotations

from typing import Any

from quart import Request
from quart.wrappers.request import Body
from werkzeug.exceptions import RequestEntityTooLarge


class CountedBody(Body):
    """A body that ends with an error at the byte that is too many; Quart counts only what nobody has taken yet."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._came = 0

    def append(self, data: bytes) -> None:
        """Take what came; of a body that is too long, nothing more."""
        self._came += len(data)
        if self._max_content_length is not None and self._came > self._max_content_length:
            self._must_raise = self._must_raise or RequestEntityTooLarge()
            self._data.clear()
            self.set_complete()
            return
        super().append(data)

    async def __anext__(self) -> bytes:
        """Return what came since. Raises RequestEntityTooLarge instead of an end that is none."""
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            if self._must_raise is not None:
                raise self._must_raise from None
            raise


class CountedRequest(Request):
    """A request whose body is counted."""

    body_class = CountedBody

    async def get_json(self, *args: Any, **options: Any) -> Any:
        """Return the body as JSON; one that was not sent is an object without members."""
        return await super().get_json(*args, **options) if await self.get_data(as_text=False) else {}
