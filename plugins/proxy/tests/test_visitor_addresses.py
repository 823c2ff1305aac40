"""Who a visitor is: the address that the node counts, logs and allows is the real one, whatever a visitor says.

Loopback has as many addresses as there are visitors here: 127.0.0.2 is one, 127.0.0.3 another.
"""

from __future__ import annotations

import json
import socket
import time

import httpx
import psutil
import pytest
from cloudos_proxy.caddy.proxy_key import ProxyKey
from cloudos_sdk.testing.contracts import check_own_proxy
from components.ports import free_ports
from signed_on import OPEN, run

from cloudos_host.plugins.discovery import discover

NODE = "node.cloud.test"
FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "Forwarded": "for=203.0.113.7",
    "X-Real-IP": "203.0.113.7",
    "X-Real_IP": "203.0.113.7",
    "X_Forwarded_For": "203.0.113.7",
    "X-Forwarded_For": "203.0.113.7",
    "X-Client-IP": "203.0.113.7",
    "X-Cloudos-Visitor": "203.0.113.7",
    "X-Cloudos-Proxy": "0" * 64,
}
OTHERS = [found.id for found in discover() if found.error is None and found.id not in ("auth", "proxy", "audit")]


@pytest.fixture(scope="module")
def node(tmp_path_factory, echo_app, caddy_program):
    more = {
        "CLOUDOS_HOST__DISABLED": json.dumps(OTHERS),
        "CLOUDOS_PROXY__BASE_DOMAIN": NODE,
        "CLOUDOS_AUTH__ADDRESS_FAILURES": "3",
        "CLOUDOS_AUTH__ACCOUNT_FAILURES": "3",
    }
    with run(tmp_path_factory.mktemp("addresses"), echo_app, "http", **more) as node:
        yield node


def visitor(address):
    """Return a client that comes from an address of its own."""
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=15)


def sign_in(client, node, name, **headers):
    """Try a wrong password at the node's name; return the status."""
    body = {"username": name, "password": "not the password"}
    url = f"http://127.0.0.1:{node.port}/api/auth/login"
    return client.post(url, json=body, headers={"Host": NODE, **headers}).status_code


def addresses_of_failures(node, name):
    """Return from where a name was tried, as the audit log has it."""

    end = time.monotonic() + 10
    while True:
        listed = node.api.get("/api/audit/logs", params={"limit": 200}).json()
        if found := [entry for entry in listed if name in json.dumps(entry)]:
            return {entry["ip_address"] for entry in found}
        assert time.monotonic() < end, "it is not in the audit log"
        time.sleep(0.1)


def test_the_lock_out_and_the_audit_log_know_the_visitor_behind_our_own_caddy(node):
    with visitor("127.0.0.2") as one, visitor("127.0.0.3") as other:
        for number in range(3):
            assert sign_in(one, node, f"guess-{number}", **FORGED) == 401
        assert sign_in(one, node, "guess-3", **FORGED) == 429, "three wrong ones of one address"
        assert sign_in(other, node, "guess-4", **FORGED) == 401, "another visitor is not locked out with it"
    assert addresses_of_failures(node, "guess-0") == {"127.0.0.2"}
    assert addresses_of_failures(node, "guess-4") == {"127.0.0.3"}


def test_a_program_of_this_machine_is_not_believed_that_it_is_the_door(node):
    with visitor("127.0.0.1") as program:
        body = {"username": "from-within", "password": "not the password"}
        answer = program.post(f"{node.server.url}/api/auth/login", json=body, headers=FORGED)
        assert answer.status_code == 401
    assert addresses_of_failures(node, "from-within") == {"127.0.0.1"}


def test_an_upstream_is_told_the_address_and_never_the_key(node):
    with visitor("127.0.0.4") as client:
        url = f"http://127.0.0.1:{node.port}/x"
        told = client.get(url, headers={"Host": OPEN, **FORGED}).json()["headers"]
    assert "203.0.113.7" not in {value for name, value in told.items() if name != "x-client-ip"}
    assert (told["x-forwarded-for"], told["x-real-ip"]) == ("127.0.0.4", "127.0.0.4")
    assert not [name for name in told if "cloudos" in name]


def test_the_node_takes_a_head_of_a_usual_size_through_its_own_proxy_and_no_larger_one(node):
    url = f"http://127.0.0.1:{node.port}/api/health"
    usual = {"Host": NODE, "Cookie": "c" * 8192, "Authorization": "Bearer " + "b" * 6000}
    with visitor("127.0.0.5") as client:
        for _ in range(3):
            assert client.get(url, headers=usual).status_code == 200
            for more in ({"Cookie": "c" * 20_000}, {f"x-{number}": "v" for number in range(150)}):
                answer = client.get(url, headers={"Host": NODE, **more})
                assert (answer.status_code, answer.json()["error"]) == (431, "head_too_large")


def test_a_proxy_protocol_line_is_no_request(node):
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as raw:
        raw.sendall(f"PROXY TCP4 203.0.113.7 127.0.0.1 1 80\r\nGET / HTTP/1.1\r\nHost: {OPEN}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


async def through_front(port, address, **headers):
    """Ask a port of the machine from an address."""
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address)) as client:
        return await client.get(f"http://127.0.0.1:{port}/", headers=headers)


async def test_behind_another_server_a_forged_address_opens_nothing(door_node, backend, web_server):
    app = await backend("app")
    http, https, alternate = free_ports(3)
    node = await door_node(mode="coexist", coexist_port=alternate, http_port=http, https_port=https)
    await node.route("near.cloud.test", app.addr, ip_allow=["127.0.0.0/8"])
    await node.route("far.cloud.test", app.addr, ip_allow=["203.0.113.7"])
    await node.apply()
    answer = await node.host.client.get(f"/api/settings/proxy/coexist-snippet?proxy={web_server.kind}")
    snippet = await answer.get_data(as_text=True)
    listening = f"Listen 127.0.0.1:{http}\nListen 127.0.0.1:{https}\n" if web_server.kind == "apache" else ""
    with web_server.run(listening + snippet, http):
        for forged in ("203.0.113.7", "203.0.113.7, 203.0.113.7", "203.0.113.7:80, [::1]:9"):
            headers = {**FORGED, "X-Forwarded-For": forged, "X-Forwarded-Host": "evil.test"}
            refused = await through_front(http, "127.0.0.2", Host="far.cloud.test", **headers)
            assert refused.status_code == 403, forged
            let_in = await through_front(http, "127.0.0.2", Host="near.cloud.test", **headers)
            told = {name.lower(): value for name, value in let_in.json()["headers"].items()}
            assert (told["x-forwarded-for"], told["x-real-ip"]) == ("127.0.0.2", "127.0.0.2")
            assert (told["x-forwarded-host"], told["x-forwarded-proto"]) == ("near.cloud.test", "http")
            assert "forwarded" not in told


async def test_behind_another_server_the_one_before_it_says_who_the_visitor_is(door_node, backend):
    app = await backend("app")
    (port,) = free_ports(1)
    node = await door_node(mode="coexist", coexist_port=port)
    await node.route("far.cloud.test", app.addr, ip_allow=["198.51.100.9", "2001:db8::/64"])
    await node.apply()
    for told, status in (("203.0.113.7, 198.51.100.9", 200), ("198.51.100.9, 203.0.113.7", 403), ("2001:db8::5", 200)):
        answer = await through_front(port, "127.0.0.1", Host="far.cloud.test", **{"X-Forwarded-For": told})
        assert answer.status_code == status, told


async def test_another_address_of_loopback_is_not_the_server_in_front(door_node, backend):
    app = await backend("app")
    (port,) = free_ports(1)
    node = await door_node(mode="coexist", coexist_port=port)
    await node.route("far.cloud.test", app.addr, ip_allow=["203.0.113.7"])
    await node.apply()
    answer = await through_front(port, "127.0.0.9", Host="far.cloud.test", **FORGED)
    assert answer.status_code == 403


async def test_the_key_is_compared_whole_and_says_an_address_or_nothing(cloudos):
    host = await cloudos("proxy")
    door = ProxyKey(host.ctx("proxy").secrets)
    await check_own_proxy(door)
    for told, address in (
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("anything", None),
    ):
        assert door.visitor({"X-Cloudos-Proxy": door.text, "X-Cloudos-Visitor": told}.get) == address
    assert door.visitor({"X-Cloudos-Proxy": door.text[:-1], "X-Cloudos-Visitor": "203.0.113.7"}.get) is None


def test_caddy_does_not_write_the_key_into_its_log(tmp_path, echo_app, caddy_program):
    with run(tmp_path, echo_app, "http", CLOUDOS_PROXY__BASE_DOMAIN=NODE, CLOUDOS_PROXY__KEEP_RUNNING="true") as node:
        pid = node.pid()
    try:
        with visitor("127.0.0.2") as client:  # the host is down, which Caddy logs with the request
            answer = client.get(f"http://127.0.0.1:{node.port}/", headers={"Host": NODE})
            assert answer.status_code == 502
        said = (tmp_path / "proxy" / "caddy.log").read_text()
        assert "api.sock" in said and "X-Cloudos-Proxy" not in said
    finally:
        psutil.Process(pid).terminate()


async def test_an_ipv6_network_of_one_subscriber_has_one_count(door_node, backend):
    app = await backend("app")
    node = await door_node(bind_address="::1")
    share = {"X-Share": "{http.vars.share}"}  # as the rate limit has it, whose module is not in this Caddy
    await node.route("a.cloud.test", app.addr, request_headers=share)
    await node.apply()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://[::1]:{node.http_port}/", headers={"Host": "a.cloud.test", **FORGED})
    told = answer.json()["headers"]
    assert (told["X-Share"], told["X-Forwarded-For"]) == ("::/64", "::1")
