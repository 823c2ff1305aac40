"""Where a route may lead, and where it may not."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from cloudos_proxy.upstreams.policy import BadUpstream, UpstreamRules, resolve, split
from cloudos_sdk.capabilities import AppAddress, Apps
from cloudos_sdk.testing.fakes import FakeApps, providing


async def refusal(node, addr):
    body = {"hostname": "a.example.com", "upstream_type": "manual", "upstream_addr": addr}
    status, error = await node.call("POST", "/api/proxy/routes", body)
    return error["message"] if status == 400 else None


async def test_the_hosts_own_api_is_refused_by_whatever_name(door_node):
    node = await door_node(api_addr="127.0.0.1:8080")
    for addr in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.8.9.1:8080", "[::ffff:127.0.0.1]:8080",
                 f"{socket.gethostname()}:8080", "0.0.0.0:8080"):  # fmt: skip
        assert "API" in (await refusal(node, addr) or ""), addr
    assert "proxy itself" in (await refusal(node, f"localhost:{node.https_port}") or "")
    assert "host:port" in (await refusal(node, f"unix/{Path('/run/admin.sock')}") or "")


async def test_link_local_and_metadata_addresses_are_refused(door_node):
    node = await door_node()
    for addr in ("169.254.169.254:80", "169.254.1.1:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "100.100.100.200:80",
                 "metadata.google.internal:80", "[::ffff:169.254.169.254]:80", "224.0.0.1:80", "168.63.129.16:80",
                 "[64:ff9b::a9fe:a9fe]:80", "[2002:a9fe:a9fe::1]:80"):  # fmt: skip
        assert await refusal(node, addr), addr


async def test_an_admin_may_allow_what_is_refused(door_node):
    node = await door_node(allow_upstreams=["169.254.1.0/24", "localhost:9"])
    for number, addr in enumerate(("169.254.1.7:80", "localhost:9")):
        await node.route(f"a{number}.example.com", addr)
    assert await refusal(node, "169.254.2.1:80")


async def test_a_name_that_leads_elsewhere_by_now_is_refused_at_apply_even_by_force(door_node, monkeypatch):
    from cloudos_proxy.upstreams import policy

    node = await door_node()
    await node.route("a.example.com", "rebinding.example.com:80")  # nobody knows it yet

    async def leads_elsewhere(host, seconds):
        import ipaddress

        return [ipaddress.ip_address("169.254.169.254")]

    monkeypatch.setattr(policy, "resolve", leads_elsewhere)  # DNS is somebody else's
    status, outcome = await node.call("POST", "/api/proxy/apply?force=true")
    assert (status, outcome["applied"]) == (200, 0)
    assert "metadata" in outcome["errors"][0]["message"]


async def test_upstreams_are_listed_as_printed(door_node):
    apps = FakeApps(
        AppAddress("app_abc123", "gitea", "running", "127.0.0.1:3000"), AppAddress("app_2", "cron", "running", None)
    )
    node = await door_node(providing(Apps, apps), api_addr="127.0.0.1:8080")
    await node.route("m.example.com", "localhost:9090")
    status, listed = await node.call("GET", "/api/proxy/upstreams")
    assert status == 200
    assert listed == [
        {"id": "app_abc123", "type": "app", "name": "gitea", "addr": "127.0.0.1:3000"},
        {"id": "quazzar-ui", "type": "ui", "name": "OS UI", "addr": "127.0.0.1:8080"},
        {"id": "localhost:9090", "type": "manual", "name": "localhost:9090", "addr": "localhost:9090"},
    ]


def test_an_upstream_is_host_and_port():
    assert split("localhost:80") == ("localhost", 80)
    assert split("[::1]:8080") == ("::1", 8080)
    assert split("my_container:3000") == ("my_container", 3000)
    for bad in ("localhost", ":80", "a:b", "http://a:80", "a:80/x", "1.2.3:80", "0x7f000001:80", "2130706433:80",
                "a b:80", "a:0", "a:65536", "::1:80", "{env.HOME}:80", "a:\uff180"):  # fmt: skip
        with pytest.raises(BadUpstream):
            split(bad)


async def test_an_address_that_the_machine_has_only_since_now_is_its_own(monkeypatch):
    rules, own, had = UpstreamRules([]), {8080: "the API"}, psutil.net_if_addrs()
    await rules.check("192.0.2.9:8080", own)
    tunnel = [SimpleNamespace(family=socket.AF_INET, address="192.0.2.9")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {**had, "tun0": tunnel})  # a tunnel that comes up
    with pytest.raises(BadUpstream, match="the API"):
        await rules.check("192.0.2.9:8080", own)


async def test_a_name_whose_server_is_silent_keeps_one_thread_however_often_it_is_asked_for(monkeypatch):
    asked, answer = [], threading.Event()

    def look_up(host, *_):
        asked.append(host)
        answer.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for _ in range(3):
        assert await resolve("silent.example.com", 0.05) == []
    waiting = asyncio.gather(*(resolve("silent.example.com", 5) for _ in range(20)))
    await asyncio.sleep(0.05)
    answer.set()
    assert {str(found) for (found,) in await waiting} == {"192.0.2.7"}
    assert asked == ["silent.example.com"]


async def test_networks_to_allow_are_read_once():
    rules = UpstreamRules(["169.254.0.0/16"])
    await rules.check("169.254.169.254:80", {})
