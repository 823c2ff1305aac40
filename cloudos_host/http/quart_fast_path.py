"""One HTTP request of Quart's in fewer steps: most requests have no body, and most answers are complete.

Quart runs a task that receives, a task that handles and a task that sends, and sends an answer in three messages.
A GET without a body whose answer is whole needs one task and two messages. What is longer, an upload or a stream, goes
Quart's way, so that a client who leaves ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from cloudos_sdk import CloudOSError, Unavailable
from quart.asgi import ASGIHTTPConnection, ASGIWebsocketConnection, _handle_exception
from quart.utils import encode_headers
from quart.wrappers import Response
from quart.wrappers.response import DataBody

from cloudos_host.http import errors
from cloudos_host.http.open_responses import GuardedBody

_LAST_WORD = 1.0
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


class FastHTTPConnection(ASGIHTTPConnection):
    """Serves one request of one connection."""

    _begun = False

    async def __call__(self, receive: Any, send: Any) -> None:
        """Handle the request and send the answer; a request without an answer when the host stops gets a 503."""
        try:
            await self._serve(receive, send)
        except asyncio.CancelledError:
            if not self._begun:
                await self._answer(send, errors.answer(_stopping()))
            raise

    async def _serve(self, receive: Any, send: Any) -> None:
        request = self._create_request_from_scope(send)
        if not (self.app.fast_path and self._without_body()):  # type: ignore[attr-defined] # of the host's application
            await self._serve_whole(request, receive, send)
            return
        request.body.set_complete()
        response = await self._respond(request)
        if is_whole(response):
            await self._answer(send, response)
        else:
            await self._stay(request, send, response, _gone(receive))

    async def _serve_whole(self, request: Any, receive: Any, send: Any) -> None:
        """Handle a request whose body may still be on its way, and send the answer.

        What changes something is done to its end though the client is gone, but for a body that is not there yet: cut
        off at any step, a change would be stored and not counted, or not be known to memory.
        """
        work = asyncio.ensure_future(self._respond(request))  # first: it may take another body for the one that comes
        gone = asyncio.ensure_future(self.handle_messages(request, receive))
        try:
            await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if request.method in _SAFE:
                    return
                request.body.break_off()
                await asyncio.wait((work,))
            if not gone.done():
                await self._stay(request, send, work.result(), gone)
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.gather(gone, work, return_exceptions=True)

    async def _stay(self, request: Any, send: Any, response: Any, *watches: Any) -> None:
        """Send an answer; a live one ends with its client, with its credentials, and when the host stops."""
        answers: Any = self.app.open_answers  # type: ignore[attr-defined] # of the host's application
        held = None
        if getattr(response, "live", False):
            try:
                held = answers.hold(request)
            except CloudOSError as error:
                response = errors.answer(error)
            else:
                response.response = GuardedBody(response.response, answers, held)
                watches = (*watches, held.ended.wait())
        if held is None:
            await first_of(self._answer(send, response), *watches)
            return
        whole = False

        async def sending(message: Any) -> None:
            nonlocal whole
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await first_of(self._answer(sending, response), *watches)
            if held.ended.is_set() and not whole:  # a client that still reads is told that this is the end
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORD):
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            answers.release(held)

    def _without_body(self) -> bool:
        """Return whether the request is a GET or HEAD without a body (RFC 9112, 6.3)."""
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
        self._begun = True
        limit = getattr(response, "timeout", Ellipsis)
        try:
            async with asyncio.timeout(self.app.config["RESPONSE_TIMEOUT"] if limit is Ellipsis else limit):
                if self.app.fast_path and is_whole(response):  # type: ignore[attr-defined] # of the host's application
                    headers = encode_headers(response.headers)
                    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
                    await send({"type": "http.response.body", "body": response.response.data, "more_body": False})
                else:
                    await self._send_response(send, response)
        except TimeoutError:
            pass


class HeldWebsocket(ASGIWebsocketConnection):
    """Serves one WebSocket; it ends with its client, with its credentials, and when the host stops."""

    _GOING_AWAY = 1001  # RFC 6455, 7.4.1
    _POLICY_VIOLATION = 1008
    _TRY_AGAIN_LATER = 1013

    async def __call__(self, receive: Any, send: Any) -> None:
        """Handle the messages of both sides."""
        websocket = self._create_websocket_from_scope(send)
        self._open = asyncio.Event()
        await first_of(
            self.handle_websocket(websocket, send), self.handle_messages(receive), self._end(websocket, send)
        )

    async def accept_connection(self, send: Any, headers: Any, subprotocol: str | None) -> None:
        """Accept, and hold it from now on."""
        await super().accept_connection(send, headers, subprotocol)
        self._open.set()

    async def _end(self, websocket: Any, send: Any) -> None:
        await self._open.wait()
        answers: Any = self.app.open_answers  # type: ignore[attr-defined] # of the host's application
        try:
            held = answers.hold(websocket)
        except CloudOSError:
            await self._close(send, self._TRY_AGAIN_LATER)
            return
        try:
            await held.ended.wait()
            await self._close(send, self._GOING_AWAY if answers.stopping else self._POLICY_VIOLATION)
        finally:
            answers.release(held)

    async def _close(self, send: Any, code: int) -> None:
        if not self._closed:
            self._closed = True
            await send({"type": "websocket.close", "code": code})


def is_whole(response: Any) -> bool:
    """Return whether an answer's body is complete in memory."""
    return (
        isinstance(response, Response)
        and isinstance(response.response, DataBody)
        and response.response.end - response.response.begin == len(response.response.data)
    )


async def first_of(work: Any, *watches: Any) -> None:
    """Run `work` until it or one of the watches (e.g. the client's disconnect) is done; raises the work's exception."""
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


def _stopping() -> Unavailable:
    message = "The server stops, and the request was not done before; send it again when it is up."
    return Unavailable(message, code="server_stopping", retry_after=5)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
