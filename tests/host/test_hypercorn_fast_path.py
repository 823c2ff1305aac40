"""Connections: what is sent together, how long an idle one stays, and what a slow client costs."""

import asyncio
import gc
import json
import socket
import time
from email.utils import parsedate_to_datetime

import h2.connection
import pytest
from components.wire import asked


async def test_an_answer_that_is_whole_arrives_in_one_piece(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    for _ in range(20):
        writer.write(asked("GET", "/whole", last=False))
        first = await reader.read(65536)
        if not first.endswith(b'{"hello":"world"}\n'):
            assert first.endswith(b"\r\n\r\n") and await reader.read(65536) == b'{"hello":"world"}\n'
    writer.close()


async def test_an_answer_bears_the_date_of_its_second(wire):
    dates = []
    for _ in range(12):
        said = await wire.talk(asked("GET", "/whole"))
        (date,) = [line[6:].decode() for line in said.split(b"\r\n") if line.lower().startswith(b"date: ")]
        assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 1.5
        dates.append(date)
        await asyncio.sleep(0.1)
    assert len(set(dates)) > 1


async def test_an_idle_connection_is_closed_after_a_while(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    async with asyncio.timeout(5):
        writer.write(asked("GET", "/whole", last=False))
        await reader.readuntil(b'world"}\n')
        await asyncio.sleep(0.3)
        writer.write(asked("GET", "/whole", last=False))  # in time, so it counts anew
        await reader.readuntil(b'world"}\n')
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
    assert 0.3 < asyncio.get_running_loop().time() - began < 3
    writer.close()


async def test_a_connection_that_asks_nothing_is_closed_too(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_at_work_is_not_idle(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(asked("GET", "/forever", last=False))
    until = asyncio.get_running_loop().time() + 1.5
    while asyncio.get_running_loop().time() < until:
        assert await reader.readuntil(b"tick\n")
    writer.close()


@pytest.mark.parametrize("wire", [True], indirect=True)
async def test_a_connection_that_ends_while_it_sends_is_not_ended_again(wire):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", wire.port))
    await asyncio.get_running_loop().sock_sendall(slow, asked("GET", "/large", last=False))
    await asyncio.sleep(0.1)
    slow.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.8)  # longer than it may be idle
    size = 0
    async with asyncio.timeout(5):
        while chunk := await asyncio.get_running_loop().sock_recv(slow, 65536):
            size += len(chunk)
    slow.close()
    gc.collect()  # a coroutine that nobody awaited says so now
    assert size > 3_000_000 and not complaints


async def test_a_stop_closes_idle_connections_at_once(wire):
    connections = [await asyncio.open_connection("127.0.0.1", wire.port) for _ in range(5)]
    for reader, writer in connections:
        writer.write(asked("GET", "/whole", last=False))
        await reader.readuntil(b'world"}\n')
    wire.stop.set()
    async with asyncio.timeout(0.4):  # before they would be closed for being idle
        for reader, _ in connections:
            assert await reader.read() == b""
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize("wire", [True], indirect=True)
async def test_a_stop_that_cuts_off_a_connection_logs_no_error(wire):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    answer = asyncio.create_task(wire.talk(asked("POST", "/echo", "Content-Length: 1000") + b"half"))
    await asyncio.sleep(0.1)
    wire.stop.set()
    assert (await answer).startswith(b"HTTP/1.1 503 ")
    await asyncio.sleep(0.2)
    assert not complaints


async def test_a_client_that_does_not_read_is_not_written_to_without_end(wire):
    slow = socket.create_connection(("127.0.0.1", wire.port))
    slow.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(slow, asked("GET", "/flood"))
    before = -1
    async with asyncio.timeout(10):
        while wire.sent != before:
            before = wire.sent
            await asyncio.sleep(0.3)
    assert wire.sent < 1500, "the server goes on although nobody reads"
    size = 0
    async with asyncio.timeout(20):
        while chunk := await asyncio.get_running_loop().sock_recv(slow, 65536):
            size += len(chunk)
    assert size > 2000 * 8192 and wire.sent == 2000
    slow.close()


@pytest.mark.parametrize("upgrade", ["h2c", "H2C", "websocket, h2c", "h2c, websocket", "TLS/1.0", "anything"])
async def test_no_other_protocol_is_switched_to(wire, upgrade):
    settings = h2.connection.H2Connection().initiate_upgrade_connection().decode()
    switch = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", f"HTTP2-Settings: {settings}"]
    for method in ("GET", "OPTIONS"):
        said = await wire.talk(asked(method, "/whole", *switch, last=False))
        assert said.startswith(b"HTTP/1.1 200 ") and b"101" not in said.partition(b"\r\n")[0], upgrade
        assert said.count(b"HTTP/") == 1 and not said.partition(b"\r\n\r\n")[2].startswith(b"PRI")


async def test_a_client_that_takes_http_2_for_granted_is_hung_up_on(wire):
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":path", "/whole"), (":scheme", "http"), (":authority", "a")], True)
    said = await wire.talk(client.data_to_send())
    assert said.startswith(b"HTTP/1.1 505 ") and b"hello" not in said
    assert (await wire.talk(asked("GET", "/whole"))).endswith(b'{"hello":"world"}\n'), "and nobody else minds"


def head_of(size, fields=10):
    """Return a request of `size` bytes with so many fields."""
    own = [f"f{number}: v" for number in range(fields - 2)]  # besides Host and Connection
    rest = size - len(asked("GET", "/whole", *own))
    return asked("GET", "/whole", *own[:-1], own[-1] + "v" * rest)


def refused(said):
    head, _, body = said.partition(b"\r\n\r\n")
    told = json.loads(body)
    assert "16 KiB" in told["message"] and "100 fields" in told["message"]
    assert b"connection: close" in head.lower()
    return head.startswith(b"HTTP/1.1 431 ") and told["error"] == "head_too_large"


async def test_a_head_that_is_too_large_is_refused_however_it_arrives(wire):
    many = b"GET /whole HTTP/1.1\r\nHost: here\r\n" + b"a:\r\n" * 12_000 + b"\r\n"
    for head in (many, head_of(16 * 1024 + 1), head_of(2000, fields=101), head_of(60_000)):
        assert refused(await wire.talk(head)), "in one piece"
        pieces = [head[at : at + 500] for at in range(0, len(head), 500)]
        assert refused(await wire.talk(*pieces, pause=0.001)), "in many"
        both = await wire.talk(asked("GET", "/whole", last=False) + head)
        first, second = both.split(b"HTTP/1.1 431 ")
        assert first.endswith(b'{"hello":"world"}\n') and refused(b"HTTP/1.1 431 " + second), "behind another"
    assert refused(await wire.talk(b"GET /whole HTTP/1.1\r\n" + b"a:\r\n" * 200)), "without an end"


async def test_a_head_just_within_the_limits_is_answered(wire):
    cookies = asked("GET", "/whole", "Cookie: session=" + "c" * 8192, "Authorization: Bearer " + "b" * 6000)
    for head in (head_of(16 * 1024), head_of(2000, fields=100), cookies):
        assert (await wire.talk(head)).endswith(b'{"hello":"world"}\n')
        pieces = [head[at : at + 100] for at in range(0, len(head), 100)]
        assert (await wire.talk(*pieces, pause=0.001)).endswith(b'{"hello":"world"}\n')
    lines = b"\n" * 50_000  # a body has as many lines as it likes
    posted = asked("POST", "/echo", f"Content-Length: {len(lines)}") + lines
    assert (await wire.talk(posted)).endswith(b"\r\n\r\n" + lines)
    chunk = f"{len(lines):x}\r\n".encode() + lines + b"\r\n0\r\n\r\n"
    assert (await wire.talk(asked("POST", "/echo", "Transfer-Encoding: chunked") + chunk)).count(b"\n") > 50_000


async def test_what_follows_a_chunked_body_is_measured_like_a_head(wire):
    head = asked("POST", "/echo", "Transfer-Encoding: chunked")
    said = await wire.talk(head + b"2\r\nhi\r\n0\r\n" + b"a:\r\n" * 12_000 + b"\r\n")
    assert said.startswith(b"HTTP/1.1 431 ")
    said = await wire.talk(head + b"2\r\nhi\r\n0\r\n" + b"a:\r\n" * 100 + b"\r\n")
    assert said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"hi")


async def test_a_refused_client_cannot_stay(wire):
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(head_of(20_000))
    async with asyncio.timeout(5):
        assert refused(await reader.read()), "it is told at once that nothing more comes"
        with pytest.raises(ConnectionError):
            while True:
                writer.write(asked("GET", "/whole", last=False))
                await writer.drain()
                await asyncio.sleep(0.05)
    writer.close()
