"""Names whose server is silent: they stop no other name, and let nothing through that Caddy dials by itself."""

from __future__ import annotations

import asyncio
import socket
import time

import dns.exception
import dns.message
import dns.query
import dns.rrset
import pytest
from cloudos_proxy.upstreams import policy
from cloudos_proxy.upstreams.name_lookup import Lookups

PATIENCE = 2.0
"""Seconds for which the machine's resolver waits for a server."""


class Server(asyncio.DatagramProtocol):
    """A DNS server on loopback that knows `*.healthy.test` until it falls silent, and never answers for others."""

    def __init__(self):
        self.asked, self.silent = [], False

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name.rstrip("."))
        if name.endswith(".healthy.test.") and not self.silent:
            answer = dns.message.make_response(query)
            answer.answer.append(dns.rrset.from_text(name, 0, "IN", "A", "127.0.0.1"))
            self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def server(monkeypatch):
    """Have the machine ask this server alone; `box` is a name of its hosts file."""
    transport, found = await asyncio.get_running_loop().create_datagram_endpoint(Server, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]

    def look_up(host, *_):
        if host == "box":
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]
        try:
            answer = dns.query.udp(dns.message.make_query(host, "A"), "127.0.0.1", port=port, timeout=PATIENCE)
        except dns.exception.Timeout:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (rr.address, 0)) for rrset in answer.answer for rr in rrset]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield found
    transport.close()


@pytest.fixture
def lookups(tmp_path, monkeypatch, server):
    """Have lookups of their own, with a hosts file of their own."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\tlocalhost\n127.0.0.1 box # and no-name\n")
    found = Lookups(hosts)
    monkeypatch.setattr(policy, "LOOKUPS", found)
    return found


async def refusal(node, addr):
    body = {"hostname": "a.example.com", "upstream_type": "manual", "upstream_addr": addr}
    status, answer = await node.call("POST", "/api/proxy/routes", body)
    return answer["message"] if status == 400 else None


async def silence(lookups, count=60):
    """Ask for silent names, and leave their look-ups running."""
    names = [f"n{number}.silent.test" for number in range(count)]
    assert not any(await asyncio.gather(*(lookups.find(name, 0.1) for name in names)))


async def took(lookups, name):
    began = time.monotonic()
    assert [str(address) for address in await lookups.find(name, 2)] == ["127.0.0.1"], name
    return time.monotonic() - began


async def test_silent_names_let_no_way_to_the_nodes_own_api_through(door_node, lookups):
    node = await door_node(api_addr="127.0.0.1:8080", probe_seconds=0.3)

    async def create(number):
        body = {"hostname": f"r{number}.example.com", "upstream_type": "manual"}
        body["upstream_addr"] = f"r{number}.silent.test:80"
        return (await node.call("POST", "/api/proxy/routes", body))[0]

    assert set(await asyncio.gather(*(create(number) for number in range(40)))) == {201}
    for addr in ("localhost:8080", "localhost.:8080", "LOCALHOST.:8080", "app.localhost:8080", "App.LocalHost.:8080",
                 "box:8080"):  # fmt: skip
        assert "API" in (await refusal(node, addr) or "let through"), addr


async def test_a_name_of_loopback_is_never_looked_up_and_is_kept_and_dialled_in_one_form(
    door_node, backend, lookups, server
):
    node, app = await door_node(), await backend("app")
    kept = {}
    for number, host in enumerate(("LOCALHOST.", "App.LocalHost.")):
        name = f"n{number}.cloud.test"
        kept[name] = (await node.route(name, f"{host}:{app.port}"))["upstream_addr"]
    assert list(kept.values()) == [f"localhost:{app.port}", f"app.localhost:{app.port}"]
    await node.apply()
    for name in kept:
        assert (await node.visit(name)).json["name"] == "app"
    assert f'"localhost:{app.port}"' in str(await node.running()).replace("'", '"')
    assert server.asked == []


async def test_healthy_names_and_those_of_the_hosts_file_answer_at_once_beside_silent_ones(lookups):
    await lookups.find("app.healthy.test", 2)
    await silence(lookups)
    assert await took(lookups, "app.healthy.test") < 0.5
    assert await took(lookups, "box") < 0.5


async def test_names_that_nobody_waits_for_any_more_make_no_queue(lookups, server):
    await silence(lookups, 200)
    await asyncio.sleep(PATIENCE + 0.5)
    assert await took(lookups, "new.healthy.test") < 0.5
    assert len(server.asked) < 120, "the others had no thread in time, and are not asked for"


async def test_a_name_that_was_silent_is_not_asked_for_again_for_a_while(lookups, server):
    assert await lookups.find("a.silent.test", 0.1) == []
    await asyncio.sleep(PATIENCE + 0.3)
    began = time.monotonic()
    assert await lookups.find("a.silent.test", 2) == []
    assert time.monotonic() - began < 1.5 and server.asked == ["a.silent.test"]


async def test_names_that_were_silent_lately_have_few_threads(lookups, server, monkeypatch):
    monkeypatch.setattr("cloudos_proxy.upstreams.name_lookup.QUIET_SECONDS", 0.0)
    await silence(lookups, 30)
    await asyncio.sleep(PATIENCE + 0.5)
    server.asked.clear()
    await silence(lookups, 30)
    assert len(server.asked) == 8
    assert await took(lookups, "new.healthy.test") < 0.5


async def test_the_last_answer_stands_in_for_one_that_does_not_come_but_not_for_long(lookups, server, monkeypatch):
    await lookups.find("app.healthy.test", 2)
    server.silent = True
    assert await lookups.find("app.healthy.test", 0.1), "the one before"
    monkeypatch.setattr("cloudos_proxy.upstreams.name_lookup.LAST_SECONDS", 0.1)
    assert await lookups.find("app.healthy.test", 0.1) == []
