"""One request over the wire: whatever its body and its answer look like, the short way and Quart's way agree."""

import asyncio
import contextlib

import hypercorn.asyncio
import pytest
from hypercorn.config import Config
from quart import Quart, Response, request

from cloudos_host.lean_http import LeanHTTP


class Wire:
    """A small application on a real port, and raw connections to it."""

    def __init__(self):
        self.left = asyncio.Event()
        self.app = Quart("wire", static_folder=None)
        self.app.asgi_http_class = LeanHTTP

        @self.app.route("/echo", methods=["GET", "POST", "DELETE"])
        async def echo():
            return Response(await request.get_data(), content_type="application/octet-stream")

        @self.app.get("/whole")
        async def whole():
            return {"hello": "world"}

        @self.app.get("/large")
        async def large():
            return Response(b"x" * 3_000_000)

        @self.app.get("/crash")
        async def crash():
            raise RuntimeError("crash")

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


@pytest.fixture
async def wire():
    """Serve it."""
    wire, stop = Wire(), asyncio.Event()
    config = Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    (listening,) = config.create_sockets().insecure_sockets
    listening.listen(100)
    wire.port = listening.getsockname()[1]
    config.bind = [f"fd://{listening.fileno()}"]
    config.graceful_timeout = 1
    serving = asyncio.create_task(hypercorn.asyncio.serve(wire.app, config, shutdown_trigger=stop.wait))
    yield wire
    stop.set()
    await serving


def asked(method, path, *headers, last=True):
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: here", *headers, *(["Connection: close"] if last else []), "", ""]
    ).encode()


async def test_a_whole_answer_has_its_length_and_its_body(wire):
    said = await wire.talk(asked("GET", "/whole"))
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert body == b'{"hello":"world"}\n'


async def test_a_head_request_has_the_length_and_no_body(wire):
    head, _, body = (await wire.talk(asked("HEAD", "/whole"))).partition(b"\r\n\r\n")
    assert b"content-length: 18" in head.lower()
    assert body == b""


async def test_requests_follow_each_other_on_a_connection(wire):
    said = await wire.talk(
        asked("GET", "/whole", last=False),
        asked("POST", "/echo", "Content-Length: 3", last=False) + b"abc",
        asked("GET", "/brief", last=False),
        asked("GET", "/whole"),
        pause=0.05,
    )
    assert said.count(b"HTTP/1.1 200") == 4
    assert b"abc" in said and b"one," in said and said.endswith(b'{"hello":"world"}\n')


async def test_pipelined_requests_are_answered_in_order(wire):
    said = await wire.talk(
        asked("GET", "/whole", last=False) + asked("GET", "/brief", last=False) + asked("GET", "/whole")
    )
    assert said.count(b"HTTP/1.1 200") == 3
    assert said.index(b"hello") < said.index(b"one,") < said.rindex(b"hello")


async def test_a_body_in_pieces_arrives_whole(wire):
    said = await wire.talk(asked("POST", "/echo", "Content-Length: 6"), b"abc", b"def", pause=0.05)
    assert said.endswith(b"\r\n\r\nabcdef")


async def test_a_chunked_body_arrives_whole(wire):
    pieces = (asked("POST", "/echo", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n")
    assert (await wire.talk(*pieces, pause=0.02)).endswith(b"\r\n\r\nabcdef")


async def test_a_delete_with_a_body_has_it(wire):
    assert (await wire.talk(asked("DELETE", "/echo", "Content-Length: 2") + b"ok")).endswith(b"\r\n\r\nok")


async def test_a_body_that_announces_nothing_arrives_whole(wire):
    """As the test client sends it, and HTTP/2 may."""
    client = wire.app.test_client()
    response = await client.post("/echo", data=b"quiet")
    assert await response.get_data() == b"quiet"


async def test_a_large_answer_comes_whole(wire):
    said = await wire.talk(asked("GET", "/large"))
    assert len(said.partition(b"\r\n\r\n")[2]) == 3_000_000


async def test_a_crash_is_a_500_and_the_connection_goes_on(wire):
    said = await wire.talk(asked("GET", "/crash", last=False), asked("GET", "/whole"), pause=0.05)
    assert said.startswith(b"HTTP/1.1 500")
    assert said.endswith(b'{"hello":"world"}\n')


async def test_a_stream_ends_when_its_client_leaves(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(asked("GET", "/forever", last=False))
    assert b"tick" in await reader.readuntil(b"tick\n")
    assert not wire.left.is_set()
    writer.close()
    async with asyncio.timeout(5):
        await wire.left.wait()


async def test_a_stream_that_answers_a_body_ends_when_its_client_leaves(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(asked("GET", "/forever", "Content-Length: 2", last=False) + b"{}")
    await reader.readuntil(b"tick\n")
    writer.close()
    async with asyncio.timeout(5):
        await wire.left.wait()


async def test_a_client_that_leaves_before_its_answer_harms_nobody(wire):
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(asked("GET", "/large"))
        writer.close()
    assert (await wire.talk(asked("GET", "/whole"))).endswith(b'{"hello":"world"}\n')


async def test_what_a_blueprint_does_before_and_after_its_requests_is_done(cloudos):

    from tests.host import hooked_plugin

    hooked_plugin.seen.clear()
    node = await cloudos(hooked_plugin)
    response = await node.client.get("/api/hooked")
    assert response.status_code == 200 and response.headers["X-After"] == "yes"
    assert hooked_plugin.seen == ["before"]
