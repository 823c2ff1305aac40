"""What Caddy dials is what was checked: a name that comes to stand for another address is judged anew."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import stat

import dns.message
import dns.query
import dns.rcode
import pytest
from cloudos_proxy.upstreams import policy
from cloudos_proxy.upstreams.dial_names import addr_of, dial_name

NAME = "app.rebinding.test"
METADATA = "169.254.169.254"


@pytest.fixture
def names(monkeypatch):
    """Be the DNS of the machine: a test says what each name stands for, and may let a look-up wait."""

    class Names(dict):
        asked = 0
        gate = None

    found = Names()

    async def resolve(host, seconds):
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            found.asked += 1
            addresses = [ipaddress.ip_address(text) for text in found.get(host.lower().rstrip("."), ())]
            if found.gate is not None:
                await found.gate.wait()
            return addresses

    monkeypatch.setattr(policy, "resolve", resolve)
    monkeypatch.setattr("cloudos_proxy.routes.upstream_resolver.resolve", resolve)
    return found


async def fresh():
    """Wait until an answer is not given again."""
    await asyncio.sleep(1.1)


async def route_of(node, route):
    return (await node.call("GET", f"/api/proxy/routes/{route['id']}"))[1]


async def test_a_name_is_dialled_by_the_address_that_it_has_then(door_node, backend, names):
    app = await backend("one")
    node = await door_node()
    names[NAME] = ["127.0.0.1"]
    route = await node.route(NAME, f"App.Rebinding.test.:{app.port}")
    await node.apply()
    answer = await node.visit(NAME)
    assert (answer.json["name"], answer.json["headers"]["Host"]) == ("one", NAME)
    await app.stop()
    names[NAME] = ["::1"]
    await fresh()
    assert (await node.visit(NAME)).status == 502, "it is followed to where nothing listens"
    names[NAME] = ["127.0.0.1"]
    await fresh()
    await backend("two", app.port)
    assert (await node.visit(NAME)).json["name"] == "two"
    assert (await route_of(node, route))["status"] == "active"


async def test_a_name_that_comes_to_be_the_nodes_own_api_is_not_dialled(door_node, backend, names):
    api = await backend("the API")
    node = await door_node(api_addr=api.addr)
    route = await node.route(NAME, f"{NAME}:{api.port}")  # nobody knows it yet
    assert (await node.apply("?force=true"))["applied"] == 1
    for addresses in (["127.0.0.1"], ["::ffff:127.0.0.1"], ["127.9.9.9"], ["203.0.113.7", "127.0.0.1"], ["0.0.0.0"]):
        names[NAME] = addresses
        await fresh()
        assert (await node.visit(NAME, "/api/users")).status == 502, addresses
    assert api.seen == []
    found = await node.until(lambda: said(node, route))
    assert "this node's own API" in found["error"]


async def said(node, route):
    found = await route_of(node, route)
    return found if found["status"] == "error" else None


async def test_a_route_says_why_it_is_not_served_and_is_again_when_its_name_is_right(door_node, backend, names):
    app = await backend("app")
    node = await door_node()
    names[NAME] = ["127.0.0.1"]
    route, other = await node.route(NAME, f"{NAME}:{app.port}"), await node.route("b.cloud.test", app.addr)
    await node.apply()
    assert (await node.visit(NAME)).status == 200
    await app.stop()  # so that its connections are not kept
    names[NAME] = [METADATA]
    await fresh()
    assert (await node.visit(NAME)).status == 502
    found = await node.until(lambda: said(node, route))
    assert METADATA in found["error"] and "metadata" in found["error"]
    assert (await route_of(node, other))["status"] == "active"
    (told,) = [event for event in await node.host.event_log() if event.type == "route.refused"]
    assert (told.resource, told.data["hostname"]) == (route["id"], NAME)
    outcome = await node.apply("?force=true")
    assert outcome["applied"] == 0 and "metadata" in outcome["errors"][0]["message"]
    names[NAME] = ["127.0.0.1"]
    await backend("again", app.port)
    await fresh()
    assert (await node.visit(NAME)).json["name"] == "again"

    async def active():
        return (await route_of(node, route))["status"] == "active"

    await node.until(active)


async def test_a_name_that_turns_between_the_check_and_the_dial_does_not_slip_through(door_node, backend, names):
    """The look-up of the dial is held, the name turned meanwhile, and looked up again as soon as it may be."""
    api = await backend("the API")
    node = await door_node(api_addr=api.addr)
    await node.route(NAME, f"{NAME}:{api.port}")
    await node.apply("?force=true")
    names[NAME], names.gate = ["203.0.113.7"], asyncio.Event()
    visiting = asyncio.create_task(node.visit(NAME))
    await node.until(lambda: names.asked)
    names[NAME] = ["127.0.0.1"]
    names.gate.set()
    names.gate = None
    await asyncio.wait({visiting}, timeout=2)
    assert api.seen == []
    visiting.cancel()
    await asyncio.gather(visiting, return_exceptions=True)
    await fresh()
    assert (await node.visit(NAME)).status == 502
    assert api.seen == []


async def test_an_apply_calls_no_address_that_may_not_be_dialled(door_node, backend, names):
    called = []

    async def taken(reader, writer):
        called.append(writer)
        writer.close()

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    node = await door_node(api_addr=f"127.0.0.1:{port}")
    names[NAME] = ["203.0.113.7"]
    await node.route(NAME, f"{NAME}:{port}")
    names[NAME] = ["127.0.0.1"]
    outcome = await node.apply()
    assert outcome["applied"] == 0 and "own API" in outcome["errors"][0]["message"]
    assert called == []
    server.close()


async def test_where_caddy_cannot_ask_it_is_given_the_address(door_node, backend, names, monkeypatch):
    monkeypatch.setattr("cloudos_proxy.caddy.name_server._PATH_LIMIT", 10)
    app = await backend("app")
    node = await door_node()
    names[NAME] = ["::1", "127.0.0.1"]
    await node.route(NAME, f"{NAME}:{app.port}")
    await node.apply()
    assert (await node.visit(NAME)).json["name"] == "app", "that of its addresses that answers"
    names[NAME] = [METADATA]
    await fresh()
    assert (await node.visit(NAME)).json["name"] == "app", "and it stays the one that was checked"
    dialled = re.findall(r"'dial': '([^']*)'", str(await node.running()))
    assert f"127.0.0.1:{app.port}" in dialled and not [addr for addr in dialled if NAME in addr]


async def ask(node, *queries, raw=None):
    path = node.host.ctx("proxy").data_dir / "names.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader, writer = await asyncio.open_unix_connection(str(path))
    answers = []
    try:
        async with asyncio.timeout(5):
            for query in queries:
                writer.write(query.to_wire())
                answers.append(dns.message.from_wire(await reader.read(4096)))
            if raw is not None:
                writer.write(raw)
                return await reader.read()
    finally:
        writer.close()
    return answers


async def test_the_socket_answers_for_upstreams_and_for_nothing_else(door_node, names):
    node = await door_node(api_addr="127.0.0.1:8080")
    names.update({NAME: ["127.0.0.1", "::1"], "meta.test": [METADATA]})
    asked = dial_name(f"{NAME}:90").rpartition(":")[0]
    v4, v6, mail = await ask(node, *(dns.message.make_query(asked, kind) for kind in ("A", "AAAA", "MX")))
    assert [rr.to_text() for rr in v4.answer] == [f"{asked} 0 IN A 127.0.0.1"]
    assert [rr.to_text() for rr in v6.answer] == [f"{asked} 0 IN AAAA ::1"]
    assert mail.answer == [] and mail.rcode() == dns.rcode.NOERROR
    for name in (
        NAME,
        "example.com.",
        dial_name(f"{NAME}:8080").rpartition(":")[0],
        dial_name("meta.test:80").rpartition(":")[0],
        dial_name("unknown.test:80").rpartition(":")[0],
        "upstream.cloudos.invalid.",
        f"{NAME}.80.upstream.cloudos.invalid.example.com.",
        f"{NAME}.80000.upstream.cloudos.invalid.",
        f"{NAME}.0.upstream.cloudos.invalid.",
    ):
        (answer,) = await ask(node, dns.message.make_query(name, "A"))
        assert (answer.answer, answer.rcode()) == ([], dns.rcode.NXDOMAIN), name
    for raw in (b"\0", b"\xff" * 20, b"oops", b"\0" * 12, b"x" * 5000):
        assert await ask(node, raw=raw) == b""


def test_addresses_and_localhost_are_dialled_as_they_are():
    for addr in ("127.0.0.1:80", "[::1]:80", "localhost:80", "LOCALHOST.:80", "127.0.0.1:0"):
        assert dial_name(addr) is None
    assert addr_of(dial_name("My_Container.:3000").rpartition(":")[0]) == "my_container:3000"


async def test_a_port_that_is_the_nodes_by_now_is_routed_to_no_longer(door_node, backend):
    app, node = await backend("app"), await door_node()
    route = await node.route("a.cloud.test", app.addr)
    await node.apply()
    assert (await node.visit("a.cloud.test")).status == 200
    host, make = node.host, node.host._make

    def moved():
        made = make()
        proxy = {**made.config.plugins["proxy"], "api_addr": app.addr}
        made.config = type(made.config)(made.config.host, {"proxy": proxy}, made.config.source)
        return made

    host._make = moved
    await host.restart()

    async def shut():
        return (await node.visit("a.cloud.test")).status == 404

    await node.until(lambda: node.pid())
    await node.until(shut)
    found = await node.until(lambda: said(node, route))
    assert "own API" in found["error"]
