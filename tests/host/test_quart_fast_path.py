"""One request over the wire: whatever its body and its answer look like, the short way and Quart's way agree."""

import asyncio
import json

import pytest
from components.wire import asked


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


async def test_an_answer_without_an_end_ends_when_the_host_stops(wire):
    readers = []
    for method, *headers in (("GET",), ("POST", "Content-Length: 0")):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(asked(method, "/live", *headers, last=False))
        await reader.readuntil(b"tick")
        readers.append((reader, writer))
    wire.app.open_answers.end_all()
    async with asyncio.timeout(2):
        for reader, writer in readers:
            await reader.read()
            writer.close()


@pytest.mark.parametrize("head", [asked("POST", "/echo", "Content-Length: 1000") + b"half", asked("GET", "/slow")])
async def test_a_request_that_is_not_done_when_the_host_stops_is_told_so(wire, head):
    answer = asyncio.create_task(wire.talk(head))
    await asyncio.sleep(0.2)
    wire.stop.set()
    status, _, body = (await answer).partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 503 ") and b"retry-after: 5" in status.lower()
    assert json.loads(body)["error"] == "server_stopping"


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
