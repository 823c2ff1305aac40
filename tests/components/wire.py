"""A small application on a real port, spoken to in raw bytes."""

import asyncio
import contextlib

import hypercorn.asyncio
import hypercorn.asyncio.run
import hypercorn.protocol
import pytest
from cloudos_sdk.http import stream
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from quart import Quart, Response, request

from cloudos_host.http import hypercorn_fast_path
from cloudos_host.http.open_responses import OpenResponses
from cloudos_host.http.quart_fast_path import FastHTTPConnection


class Wire:
    """A small application on a real port, and raw connections to it."""

    def __init__(self):
        self.left = asyncio.Event()
        self.sent = 0
        self.app = Quart("wire", static_folder=None)
        self.app.asgi_http_class = FastHTTPConnection
        self.app.open_answers = OpenResponses(None, 100, None)

        @self.app.route("/echo", methods=["GET", "POST", "DELETE"])
        async def echo():
            return Response(await request.get_data(), content_type="application/octet-stream")

        @self.app.get("/whole")
        async def whole():
            return {"hello": "world"}

        @self.app.get("/large")
        async def large():
            return Response(b"x" * 3_000_000)

        @self.app.get("/slow")
        async def slow():
            await asyncio.sleep(30)

        @self.app.get("/crash")
        async def crash():
            raise RuntimeError("crash")

        @self.app.get("/flood")
        async def flood():
            async def chunks():
                for _ in range(2000):
                    self.sent += 1
                    yield b"x" * 8192
                    await asyncio.sleep(0)

            response = Response(chunks())
            response.timeout = None
            return response

        @self.app.route("/live", methods=["GET", "POST"])
        async def live():
            async def ticks():
                while True:
                    yield b"data: tick\n\n"
                    await asyncio.sleep(0.01)

            return stream(ticks(), "text/event-stream")

        @self.app.get("/forever")
        async def forever():
            async def ticks():
                try:
                    while True:
                        yield b"tick\n"
                        await asyncio.sleep(0.01)
                finally:
                    self.left.set()

            response = Response(ticks())
            response.timeout = None
            return response

        @self.app.get("/brief")
        async def brief():
            async def parts():
                yield b"one,"
                yield b"two"

            return Response(parts())

    async def talk(self, *pieces, pause=0.0):
        """Send pieces of raw HTTP on one connection; return all that comes until it is closed or quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while chunk := await reader.read(65536):
                    said += chunk
        writer.close()
        return said


@pytest.fixture(params=[True, False], ids=["fast path", "no fast path"])
async def wire(request, monkeypatch):
    """Serve it by the fast paths, and without them; `stop` ends it."""
    monkeypatch.setattr(hypercorn.asyncio.run, "TCPServer", TCPServer)
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", H11Protocol)
    hypercorn_fast_path.install(fast=request.param)
    wire = Wire()
    wire.app.fast_path = request.param
    wire.stop = stop = asyncio.Event()
    config = hypercorn_fast_path.FastPathConfig()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    (listening,) = config.create_sockets().insecure_sockets
    listening.listen(100)
    wire.port = listening.getsockname()[1]
    config.bind = [f"fd://{listening.fileno()}"]
    config.graceful_timeout, config.keep_alive_timeout = 1, 0.5
    serving = asyncio.create_task(hypercorn.asyncio.serve(wire.app, config, shutdown_trigger=stop.wait))
    yield wire
    stop.set()
    await serving


def asked(method, path, *headers, last=True):
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: here", *headers, *(["Connection: close"] if last else []), "", ""]
    ).encode()
