"""Connections go to the internet and nowhere else, whatever a name says at first."""

import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from cloudos_sdk.outbound import (
    AddressRefused,
    check_url,
    guarded_connector,
    is_metadata,
    is_public,
    private_address,
    refusal,
)

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:c0a8:101::1", "2001:0:4136:e378::", "fe80::1",
    "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


class Names(AbstractResolver):
    """Looks a name up differently each time."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}]

    async def close(self):
        pass


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_private_network_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("url", ["https://example.org", "http://example.org:8080/a?b=c", "http://[::1]/", "http://h/"])
def test_a_url_that_one_can_connect_to(url):
    check_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "/a", "ftp://h/", "file:///etc/passwd", "http://", "http:///a", "http://[::1", "http://h:0/", "http://h:99999/",
     "http://h/a b", "http://h/\r\nX: y", "http://h/\x00", "javascript:alert(1)", "http://a..b/\x7f"],
)  # fmt: skip
def test_what_is_no_url_to_connect_to(url):
    with pytest.raises(ValueError, match="http or https"):
        check_url(url)


@pytest.fixture
async def server():
    """A server on loopback that must not be reached."""
    import asyncio

    reached = []

    async def connected(reader, writer):
        reached.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(connected, "127.0.0.1", 0)
    running.reached, running.port = reached, running.sockets[0].getsockname()[1]
    yield running
    running.close()


async def fetch(url, resolver=None, *, allow_private=False):
    connector = guarded_connector(allow_private=allow_private, resolver=resolver, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
        return await answer.text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "0.0.0.0", "[::ffff:7f00:1]"])
async def test_however_loopback_is_written_it_is_refused_when_connecting(server, host):
    url = f"http://{host}:{server.port}/"
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await fetch(url)
    assert isinstance(refusal(caught.value), AddressRefused)
    assert server.reached == []
    assert await private_address(url) is not None, "and whoever enters it is told"


@pytest.mark.parametrize("host", ["2130706433", "127.1"])
async def test_a_number_that_stands_for_loopback_leads_nowhere(server, host):
    url = f"http://{host}:{server.port}/"
    with pytest.raises(aiohttp.ClientError):
        await fetch(url)
    assert server.reached == [] and await private_address(url) is not None


async def test_a_name_that_changes_between_the_check_and_the_connection_is_refused(server):
    names = Names("93.184.215.14", "127.0.0.1")
    url = f"http://rebinds.example.org:{server.port}/"
    assert await private_address(url, names) is None
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await fetch(url, names)
    assert str(refusal(caught.value)) == "127.0.0.1 is an address of a private network"
    assert names.asked == 2 and server.reached == []


async def test_what_is_allowed_is_reached(server):
    names = Names("127.0.0.1")
    assert await fetch(f"http://lan.example.org:{server.port}/", names, allow_private=True) == "ok"
    assert refusal(ValueError("something else")) is None


async def test_a_name_that_cannot_be_looked_up_is_left_to_the_connection():
    class Nothing(Names):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            raise OSError("no such name")

    assert await private_address("http://nowhere.example.org/", Nothing("")) is None


def test_metadata_is_known_in_every_spelling_and_a_private_network_is_none():
    for address in (
        "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fe80::1%eth0",
        "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    ):  # fmt: skip
        assert is_metadata(address), address
    for address in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1", "93.184.216.34"):
        assert not is_metadata(address), address
