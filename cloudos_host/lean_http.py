"""One HTTP request of Quart's in fewer steps: most requests have no body, and most answers are complete.

Quart runs a task that receives, a task that handles and a task that sends, and sends an answer in three messages.
A GET without a body whose answer is whole needs one task and two messages. What is longer, an upload or a stream, goes
Quart's way, so that a client who leaves ends it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from quart.asgi import ASGIHTTPConnection, _handle_exception
from quart.utils import encode_headers
from quart.wrappers import Response
from quart.wrappers.response import DataBody

_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class LeanHTTP(ASGIHTTPConnection):
    """Serves one request of one connection."""

    async def __call__(self, receive: Any, send: Any) -> None:
        """Handle the request, and send the answer."""
        request = self._create_request_from_scope(send)
        if not self._without_body():
            await _first_of(self.handle_request(request, send), self.handle_messages(request, receive))
            return
        request.body.set_complete()
        response = await self._respond(request)
        if is_whole(response):
            await self._answer(send, response)
        else:
            await _first_of(self._answer(send, response), _gone(receive), *self._stop(response))

    async def handle_request(self, request: Any, send: Any) -> None:
        """Handle a request whose body may still be on its way, and send the answer."""
        response = await self._respond(request)
        await _first_of(self._answer(send, response), *self._stop(response))

    def _stop(self, response: Any) -> list[Any]:
        """Return what a live answer ends with beside its client: the host that stops."""
        stopping = getattr(self.app, "stopping", None)
        return [stopping.wait()] if stopping is not None and getattr(response, "live", False) else []

    def _without_body(self) -> bool:
        """Tell whether it is a GET that announces no body, and so has none (RFC 9112, 6.3)."""
        scope = self.scope
        if scope["method"] not in ("GET", "HEAD") or scope["http_version"] not in ("1.0", "1.1"):
            return False
        return not any(name in _BODY_HEADERS for name, _ in scope["headers"])

    async def _respond(self, request: Any) -> Any:
        try:
            return await self.app.handle_request(request)
        except Exception as error:  # noqa: BLE001 # whatever it is, Quart answers it with 500
            return await _handle_exception(self.app, error)

    async def _answer(self, send: Any, response: Any) -> None:
        limit = getattr(response, "timeout", Ellipsis)
        try:
            async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"] if limit is Ellipsis else limit):
                if is_whole(response):
                    headers = encode_headers(response.headers)
                    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
                    await send({"type": "http.response.body", "body": response.response.data, "more_body": False})
                else:
                    await self._send_response(send, response)
        except TimeoutError:
            pass


def is_whole(response: Any) -> bool:
    """Tell whether an answer is there to the last byte."""
    return (
        isinstance(response, Response)
        and isinstance(response.response, DataBody)
        and response.response.end - response.response.begin == len(response.response.data)
    )


async def _first_of(work: Any, *watches: Any) -> None:
    """Do the work until it is done or one of the watches is, such as that the client is gone; raise what it raised."""
    if not watches:
        await work
        return
    tasks = [asyncio.ensure_future(work), *map(asyncio.ensure_future, watches)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for error in outcomes:
        if isinstance(error, Exception):
            raise error


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
