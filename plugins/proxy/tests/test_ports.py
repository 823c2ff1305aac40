"""Ports that cannot be had are told, with what mends it."""

from __future__ import annotations

import errno
import select
import socket

import pytest
from cloudos_proxy.caddy import sockets
from cloudos_proxy.caddy.reuseport import PLACES
from cloudos_proxy.caddy.sockets import PortUnavailable, WantedSocket, open_sockets
from components.ports import free_ports


def test_a_port_below_1024_names_the_command_that_allows_it(monkeypatch):
    def refuse(one):
        raise OSError(errno.EACCES, "Permission denied")  # the tests may run as root

    monkeypatch.setattr(sockets, "_bind", refuse)
    with pytest.raises(PortUnavailable) as caught:
        open_sockets([WantedSocket("http", "", 80)])
    assert caught.value.code == "port_not_permitted"
    assert "ip_unprivileged_port_start=80" in str(caught.value) and "CLOUDOS_PROXY__HTTP_PORT" in str(caught.value)


def test_all_ports_are_opened_or_none():
    first, second = free_ports(2)
    with socket.create_server(("127.0.0.1", second)):
        wanted = [WantedSocket("http", "127.0.0.1", first), WantedSocket("https", "127.0.0.1", second)]
        with pytest.raises(PortUnavailable) as caught:
            open_sockets(wanted)
        assert (caught.value.port, caught.value.code) == (second, "port_in_use")
        assert [holder.port for holder in caught.value.holders] == [second]
    opened = open_sockets(wanted)
    assert {name: len(numbers) for name, numbers in opened.filenos().items()} == {"http": PLACES, "https": PLACES}
    opened.close()


def test_without_an_address_both_families_are_served():
    (port,) = free_ports(1)
    opened = open_sockets([WantedSocket("http", "", port)])
    try:
        for address in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            socket.create_connection((address, port), 2).close()
    finally:
        opened.close()


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_all_newcomers_come_to_the_socket_whose_turn_it_is(address):
    (port,) = free_ports(1)
    opened = open_sockets([WantedSocket("http", address, port)])
    visitors = ["127.0.0.1", "::1"] if not address and socket.has_dualstack_ipv6() else ["127.0.0.1"]
    try:
        for place in (0, 3, 4, PLACES - 1, 0):
            opened.steer(place)
            for visitor in visitors * 5:
                with socket.create_connection((visitor, port), 2) as connection:
                    connection.sendall(b"hello")  # it is handed over with its first bytes
                    ready, _, _ = select.select(opened.rings["http"], [], [], 2)
                    assert ready == [opened.rings["http"][place]]
                    ready[0].accept()[0].close()
    finally:
        opened.close()


def test_a_port_whose_holder_would_share_it_is_in_use_all_the_same():
    (port,) = free_ports(1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortUnavailable) as caught:
            open_sockets([WantedSocket("http", "127.0.0.1", port)])
    assert caught.value.code == "port_in_use"


async def test_nothing_is_started_or_opened_before_there_is_something_to_serve(door_node):
    node = await door_node(base_domain="home.test")
    assert (await node.call("GET", "/api/proxy/status"))[1] == {
        "serving": False,
        "pid": None,
        "ports": {},
        "mode": "own",
        "base_domain": "home.test",
        "trouble": None,
    }


async def test_coexisting_it_listens_on_loopback_for_the_server_in_front(door_node, backend):
    (port,) = free_ports(1)
    node, app = await door_node(mode="coexist", coexist_port=port), await backend()
    await node.route("a.example.com", app.addr, ip_allow=["203.0.113.7"])
    await node.route("b.example.com", app.addr)
    await node.apply()
    assert (await node.call("GET", "/api/proxy/status"))[1]["ports"] == {"front": port}
    node.http_port = port
    seen = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    answer = await node.visit("a.example.com", headers=seen)
    assert answer.status == 200, "the server in front says where visitors come from"
    assert answer.json["headers"]["X-Forwarded-Proto"] == "https"
    assert (await node.visit("a.example.com", headers={"X-Forwarded-For": "203.0.113.8"})).status == 403
    assert (await node.visit("b.example.com")).status == 200
