"""One HTTP request of Quart's in fewer steps: most requests have no body, and most answers are complete.

Quart runs a task that receives, a task that handles and a task that sends, and sends an answer in three messages.
Where there is no body to receive and the answer is whole, one task and two messages do. Whatever is longer, an upload
or a stream, goes Quart's way, so that a client who leaves ends it.
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
        announced = any(name in _BODY_HEADERS for name, _ in self.scope["headers"])
        if announced or self.scope["http_version"] not in ("1.0", "1.1") or not await _ended(request, receive):
            await _first_of(self.handle_request(request, send), self.handle_messages(request, receive))
            return
        response = await self._respond(request)
        if is_whole(response):
            await self._send_whole(send, response)
        else:
            await _first_of(self._send_in_time(send, response), _gone(receive))

    async def handle_request(self, request: Any, send: Any) -> None:
        """Handle a request whose body may still be on its way, and send the answer."""
        response = await self._respond(request)
        if is_whole(response):
            await self._send_whole(send, response)
        else:
            await self._send_in_time(send, response)

    async def _respond(self, request: Any) -> Any:
        try:
            return await self.app.handle_request(request)
        except Exception as error:  # noqa: BLE001 # whatever it is, Quart answers it with 500
            return await _handle_exception(self.app, error)

    async def _send_whole(self, send: Any, response: Any) -> None:
        headers = encode_headers(response.headers)
        async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"]):
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": response.response.data, "more_body": False})

    async def _send_in_time(self, send: Any, response: Any) -> None:
        limit = getattr(response, "timeout", Ellipsis)
        try:
            async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"] if limit is Ellipsis else limit):
                await self._send_response(send, response)
        except TimeoutError:
            pass


def is_whole(response: Any) -> bool:
    """Tell whether an answer is there to the last byte."""
    return (
        isinstance(response, Response)
        and isinstance(response.response, DataBody)
        and response.timeout is Ellipsis
        and response.response.end - response.response.begin == len(response.response.data)
    )


async def _ended(request: Any, receive: Any) -> bool:
    """Take the first message of a request that announces no body; tell whether it is the last, as it mostly is.

    A GET that announces none has none (RFC 9112, 6.3), and is not waited for.
    """
    if request.method in ("GET", "HEAD"):
        request.body.set_complete()
        return True
    message = await receive()
    if message["type"] != "http.request":
        return False
    request.body.append(message.get("body", b""))
    if message.get("more_body", False):
        return False
    request.body.set_complete()
    return True


async def _first_of(work: Any, watch: Any) -> None:
    """Do the work until it is done or the client is gone; raise what it raised."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(watch)]
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
