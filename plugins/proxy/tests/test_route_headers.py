"""Headers that a route sets for its upstream: what they may say of a request, and who sees what they say."""

from __future__ import annotations

import re

import pytest
from cloudos_proxy.apply.applier import Applier
from cloudos_proxy.routes import request_headers
from cloudos_proxy.routes.request_headers import headers_refusal, shown_headers
from components.ports import free_ports

HARMLESS = {
    "X-Host": "{http.request.host} {http.request.hostport} {http.request.port} {http.request.host.labels.0}",
    "X-Asked": "{http.request.method} {http.request.scheme} {http.request.proto} {http.request.uri}",
    "X-Path": "{http.request.uri.path} {http.request.uri.query} {http.request.uri.query.a}",
    "X-From": "{http.request.remote} {http.request.remote.host} {http.request.remote.port} {http.vars.client_ip}",
    "X-Said": "{http.request.header.User-Agent} {http.request.cookie.a}",
    "X-Tls": "{http.request.tls.version}{http.request.tls.server_name}{http.request.tls.cipher_suite}",
    "X-Time": "{time.now} {time.now.http} {time.now.unix} {time.now.unix_ms} {http.request.uuid} {http.vars.share}",
}
NODE = "node.home.test"


async def refused(node, path, body, *words):
    """See that a request is refused with these words, for its headers."""
    status, error = await node.call("PUT" if path else "POST", path or "/api/proxy/routes", body)
    assert (status, error["error"]) == (400, "invalid_request"), (body, error)
    assert error["fields"][0]["path"] == "request_headers"
    assert all(word in error["message"] for word in words), error["message"]


def manual(addr, **headers):
    return {"hostname": "a.example.com", "upstream_type": "manual", "upstream_addr": addr, "request_headers": headers}


@pytest.mark.parametrize(
    "value",
    [
        "{http.request.body}",
        "{http.request.body_base64}",
        "a {http.request.uuid} {http.request.body}",
        "{http.request.header.{http.request.body}}",
        "{http.request.header.{http.request.uuid}}",
        "{http.vars.anything}",
        "{http.request.tls.client.certificate_pem}",
        "{file./etc/passwd}",
        "{http.request.uuid",
    ],
)
async def test_a_placeholder_of_a_whole_body_is_refused(door_node, value):
    node = await door_node()
    allowed = ("X-A", "{http.request.host}", "{http.request.header.…}", "{time.now}")
    await refused(node, "", manual("127.0.0.1:19", **{"X-A": value}), *allowed)


async def test_those_of_a_requests_head_are_filled_in(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr, request_headers=HARMLESS)
    assert (await node.apply())["errors"] == []
    told = (await node.visit("a.example.com", "/x?a=b", headers={"Cookie": "a=1", "User-Agent": "me"})).json["headers"]
    assert told["X-Asked"] == "GET http HTTP/1.1 /x?a=b"
    assert (told["X-Path"], told["X-Said"]) == ("/x a=b b", "me 1")
    assert not [name for name in HARMLESS if "{" in told.get(name, "")]


async def test_a_route_names_no_more_placeholders_than_a_request_can_bear(door_node):
    node = await door_node()
    many = "{http.request.header.X-Long}" * 17
    await refused(node, "", manual("127.0.0.1:19", **{"X-A": many, "X-B": many}), "at most 32")


async def test_a_route_of_before_that_names_a_body_is_served_no_longer(door_node, backend, monkeypatch):
    node, app = await door_node(), await backend()
    with monkeypatch.context() as before:
        before.setattr(request_headers, "_PLACEHOLDER", re.compile(r"\{http\.(request|vars)\.[A-Za-z0-9_.-]+\}"))
        route = await node.route("a.example.com", app.addr, request_headers={"X-A": "{http.request.body}"})
        await node.apply()
        assert (await node.visit("a.example.com", method="POST", data=b"all")).json["headers"]["X-A"] == "all"
    await node.host.ctx("proxy").use(Applier).refresh("start")
    assert (await node.visit("a.example.com")).status == 404
    _, shown = await node.call("GET", f"/api/proxy/routes/{route['id']}")
    assert "X-A names a placeholder" in shown["error"]
    path = f"/api/proxy/routes/{route['id']}"
    assert (await node.call("PUT", path, {"request_headers": {"X-A": "{http.request.uuid}"}}))[0] == 200
    await node.apply()
    assert (await node.visit("a.example.com")).status == 200


async def test_a_host_that_is_the_nodes_own_is_refused(door_node, backend):
    app = await backend()
    node = await door_node(base_domain="home.test", node_url=f"https://{NODE}:8443")
    route = await node.route("a.example.com", app.addr, request_headers={"Host": "inside.example.com"})
    path = f"/api/proxy/routes/{route['id']}"
    for name in ("Host", "host", "HOST"):
        for value in (NODE, NODE.upper(), f"{NODE}.", f" {NODE}:8443", "home.test:80"):
            await refused(node, path, {"request_headers": {name: value}}, "name of this node")
            await refused(node, "", manual("127.0.0.1:19", **{name: value}), "name of this node")
    await refused(node, path, {"request_headers": {"Host": "{http.request.header.X-Host}"}}, "alone")
    await node.apply("?force=true")
    assert (await node.visit("a.example.com")).json["headers"]["Host"] == "inside.example.com"
    for value in ("{http.request.host}", "{http.request.hostport}"):
        assert (await node.call("PUT", path, {"request_headers": {"Host": value}}))[0] == 200


async def test_a_host_that_becomes_the_nodes_own_is_served_no_longer(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr, request_headers={"Host": "later.example.com"})
    await node.apply()
    assert (await node.visit("a.example.com")).status == 200
    await node.call("POST", "/api/proxy/routes", {"hostname": "later.example.com", "upstream_type": "ui"})
    outcome = await node.apply("?force=true")
    assert any("name of this node" in error["message"] for error in outcome["errors"]), outcome
    assert (await node.visit("a.example.com")).status == 404


async def test_the_ports_of_the_server_in_front_are_the_nodes_own(door_node):
    http, https, alternate = free_ports(3)
    node = await door_node(mode="coexist", coexist_port=alternate, http_port=http, https_port=https)
    for port, words in ((http, "web server in front"), (https, "web server in front"), (alternate, "proxy itself")):
        for host in ("127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "[::1]"):
            status, error = await node.call("POST", "/api/proxy/routes", manual(f"{host}:{port}"))
            assert status == 400 and words in error["message"], (host, port, error)
            assert "ALLOW_UPSTREAMS" in error["message"]


async def test_viewers_see_no_value_that_may_be_a_secret(door_node, backend):
    node, app = await door_node(), await backend()
    secret = (
        "X-Auth",
        "X-Upstream-Pass",
        "X-Access",
        "Sec-Auth-Jwt",
        "X-Sign",
        "X-Session",
        "X-Colour",
        "Authorization",
    )
    public = {
        "Host": "inside.example.com",
        "Accept-Language": "de",
        "Cache-Control": "no-cache",
        "User-Agent": "cloud",
        "X-Frame-Options": "DENY",
        "Access-Control-Allow-Credentials": "true",
        "X-Client": "{http.request.remote.host}, {http.request.remote.port}",
    }
    mixed = {"X-Mixed": "hush-{http.request.uuid}"}
    route = await node.route(
        "a.example.com", app.addr, request_headers={**public, **mixed, **dict.fromkeys(secret, "hush")}
    )
    path = f"/api/proxy/routes/{route['id']}"
    for client in (node.host.viewer, node.host.operator, node.host.admin):
        for found in ((await node.call("GET", path, client=client))[1], route):
            assert "hush" not in str(found)
            assert found["request_headers"] == {**public, **dict.fromkeys((*mixed, *secret), "(hidden)")}
    await node.call("PUT", path, {"request_headers": route["request_headers"]})
    await node.apply()
    told = (await node.visit("a.example.com")).json["headers"]
    assert {told[name] for name in secret} == {"hush"}, "what is sent back hidden stays"
    await refused(node, path, {"request_headers": {"X-New": "(hidden)"}}, "no value yet")

    def everything(session):
        from cloudos_proxy.models import Applied, Route
        from sqlmodel import select

        return [row.model_dump() for model in (Route, Applied) for row in session.exec(select(model)).all()]

    assert "hush" not in str(await node.host.ctx("proxy").db.read(everything))


def test_what_is_shown_is_judged_when_it_is_shown():
    assert shown_headers({"X-Auth": "kept before", "Accept": "*/*"}) == {"X-Auth": "(hidden)", "Accept": "*/*"}
    assert headers_refusal([("X-Auth", "kept before")], lambda name: True) is None
