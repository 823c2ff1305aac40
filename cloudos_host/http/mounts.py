"""Raw ASGI applications of plugins, behind the same gate as every route."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from cloudos_sdk import CloudOSError, Mount, Policy, caller
from quart import Request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from cloudos_host.containment import contained
from cloudos_host.http import errors
from cloudos_host.http.gate import Endpoint, Gate
from cloudos_host.http.open_responses import OpenResponses
from cloudos_host.http.quart_fast_path import first_of
from cloudos_host.plugins.registry import PluginRecord, covers

_DRAIN = 1.0


class Mounts:
    """An ASGI application that dispatches to mounted applications by path, else to the host's own."""

    def __init__(self, app: Any, gate: Gate, open_answers: OpenResponses, max_body: int, log: Any) -> None:
        self._app = app
        self._log = log
        self._gate = gate
        self._open_answers = open_answers
        self._max_body = max_body
        self._mounts: list[tuple[str, Mount, Endpoint]] = []
        self._receiving: set[asyncio.Future[Any]] = set()
        self._stopped = False
        self.await_startup: Callable[[str], Awaitable[None]] | None = None
        """While plugins are still on their way up: waits for the one that a path belongs to."""

    def add(self, record: PluginRecord, mount: Mount) -> None:
        """Serve a plugin's application below its path."""
        self._mounts.append((mount.path, mount, Endpoint(record, mount.policy)))
        self._mounts.sort(key=lambda entry: len(entry[0]), reverse=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection's request."""
        if self.await_startup is not None and scope["type"] != "lifespan":
            await self.await_startup(scope["path"])
        if self._mounts and scope["type"] != "lifespan":
            for path, mount, endpoint in self._mounts:
                if covers(path, scope["path"]):
                    if mount.preflight and _asks_first(scope):
                        endpoint = Endpoint(endpoint.record, Policy(access="public"))
                    await self._serve(mount.app, endpoint, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def stop_soon(self) -> None:
        """Disconnect the clients of mounted applications after a grace period."""
        asyncio.get_running_loop().call_later(_DRAIN, self._stop)

    def _stop(self) -> None:
        self._stopped = True
        for waiting in self._receiving:
            waiting.cancel()

    async def _next(self, receive: Any) -> Any:
        """Return the next message of a client, or a disconnect once the host stops."""
        if self._stopped:
            return {"type": "http.disconnect"}
        waiting = asyncio.ensure_future(receive())
        self._receiving.add(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if not self._stopped or (us is not None and us.cancelling()):
                raise
            return {"type": "http.disconnect"}
        finally:
            self._receiving.discard(waiting)

    async def _serve(self, app: Any, endpoint: Endpoint, scope: Any, receive: Any, send: Any) -> None:
        request, held = _request(scope), None
        try:
            await self._gate.admit(request, endpoint)
            if endpoint.policy.access != "bearer":  # whoever gives bearers ends what is open by them
                held = self._open_answers.hold(request)
        except (CloudOSError, HTTPException) as error:
            await _refuse(error, scope, send)
            return
        if scope.get("client"):
            scope = {**scope, "client": (caller().address, scope["client"][1])}
        started = False

        async def sent(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        if scope["type"] == "http":
            limit = endpoint.policy.max_body or self._max_body
            judge = getattr(request.body, "judge", None)
            work = _Bounded(limit, judge, partial(self._next, receive), sent).run(app, scope)
        else:
            work = app(scope, receive, sent)
        work = self._guarded(work, scope, send, lambda: started)
        if held is None:
            await work
            return
        try:
            await first_of(work, held.ended.wait())
            if held.ended.is_set() and scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
        finally:
            self._open_answers.release(held)

    async def _guarded(self, work: Any, scope: Any, send: Any, started: Callable[[], bool]) -> None:
        """Await a mounted application; answer 500 if it fails before it answers, and end the answer if after."""
        try:
            await contained(work)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            kind = "WebSocket" if scope["type"] == "websocket" else scope["method"]
            errors.note_crash(self._log, f"{kind} {scope['path']}", error)
            if started():
                raise
            await _refuse(errors.crashed(), scope, send)


class _Bounded:
    """One request to a mounted application whose body may prove too large, or not to be the caller's to send any more.

    The application is told then that its client is gone, and the client why it is refused.
    """

    def __init__(self, limit: int, judge: Callable[[], Awaitable[object]] | None, receive: Any, send: Any) -> None:
        self._limit, self._taken, self._answered = limit, 0, False
        self._judge = judge
        self._refusal: CloudOSError | HTTPException | None = None
        self._receive, self._send = receive, send

    async def run(self, app: Any, scope: Any) -> None:
        await app(scope, self.receive, self.send)
        if self._refusal is not None and not self._answered:
            await _refuse(self._refusal, scope, self._send)

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            self._refusal = RequestEntityTooLarge()
        elif not message.get("more_body", False) and self._judge is not None:
            judge, self._judge = self._judge, None
            try:
                await judge()
            except (CloudOSError, HTTPException) as error:
                self._refusal = error
        return message if self._refusal is None else {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self._refusal is not None and not self._answered:
            return
        self._answered = True
        await self._send(message)


def _asks_first(scope: Any) -> bool:
    """Return whether a request is a CORS preflight."""
    names = {name for name, _ in scope["headers"]}
    return scope.get("method") == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


def _request(scope: Any) -> Request:
    async def no_push(path: str, headers: Headers) -> None:
        """Ignore: nothing is pushed."""

    headers = Headers([(name.decode("latin1"), value.decode("latin1")) for name, value in scope["headers"]])
    headers["Remote-Addr"] = (scope.get("client") or ["<local>"])[0]  # as Quart says who asks
    return Request(
        scope.get("method", "GET"),
        scope.get("scheme", "http"),
        scope["path"],
        scope["query_string"],
        headers,
        scope.get("root_path", ""),
        scope.get("http_version", "1.1"),
        scope=scope,
        send_push_promise=no_push,
    )


async def _refuse(error: CloudOSError | HTTPException, scope: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    response = errors.answer(error) if isinstance(error, CloudOSError) else errors.answer_http(error)
    body = await response.get_data()
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
