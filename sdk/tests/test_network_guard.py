"""A host under test reaches this machine only, and what would go further is named."""

import asyncio
import socket
import threading
import urllib.request

import pytest
from cloudos_sdk.testing.network import OutsideNetwork, loopback_only

OUTSIDE = "192.0.2.1"  # RFC 5737: nobody's


def test_a_connection_outside_is_refused_and_named():
    with loopback_only(), socket.socket() as sock:
        with pytest.raises(OutsideNetwork, match=r"connect to 192\.0\.2\.1 port 443"):
            sock.connect((OUTSIDE, 443))
        with pytest.raises(OutsideNetwork):
            sock.connect_ex((OUTSIDE, 443))


def test_a_datagram_and_a_look_up_are_refused_too():
    with loopback_only():
        with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(OutsideNetwork, match="port 53"):
            sock.sendto(b"x", (OUTSIDE, 53))
        with pytest.raises(OutsideNetwork, match=r"look up example\.org"):
            socket.getaddrinfo("example.org", 443)
        with pytest.raises(OutsideNetwork), socket.socket(socket.AF_INET6) as sock:
            sock.connect(("2001:db8::1", 443))


def test_a_library_in_another_thread_is_refused():
    caught = []

    def fetch():
        try:
            urllib.request.urlopen("http://example.org/", timeout=5)
        except OutsideNetwork as error:
            caught.append(str(error))

    with loopback_only():
        thread = threading.Thread(target=fetch)
        thread.start()
        thread.join(10)
    assert "example.org" in caught[0]


async def test_asyncio_is_refused_outside_and_served_on_loopback(tmp_path):
    async def answer(reader, writer):
        writer.write(b"hello")
        writer.close()

    with loopback_only():
        with pytest.raises(OutsideNetwork):
            await asyncio.open_connection(OUTSIDE, 443)
        async with await asyncio.start_server(answer, "localhost", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("localhost", port)
            assert await reader.read() == b"hello"
            writer.close()
        async with await asyncio.start_unix_server(answer, tmp_path / "s"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            assert await reader.read() == b"hello"
            writer.close()


async def test_the_harness_has_the_guard_up(cloudos):
    await cloudos()
    with socket.socket() as sock, pytest.raises(OutsideNetwork):
        sock.connect((OUTSIDE, 443))


def test_outside_of_it_nothing_is_refused():
    with loopback_only():
        pass
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((OUTSIDE, 9))  # a datagram socket sends nothing at connect
        except OSError as error:
            assert error.errno, "refused by the system, which has no route; not by the guard"
