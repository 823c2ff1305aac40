"""Routes as the reference prints them, and what is refused."""

from __future__ import annotations

import re

from cloudos_proxy.hostnames import BadHostname, normalise

SUBDOMAIN = {
    "hostname": "git.example.com",
    "upstream_type": "app",
    "upstream_id": "app_abc123",
    "require_auth": True,
}
MANUAL = {
    "hostname": "metrics.example.com",
    "upstream_type": "manual",
    "upstream_addr": "localhost:9090",
    "require_auth": False,
}


async def test_a_route_is_pending_until_it_is_applied_and_then_served(door_node, backend):
    node, blog = await door_node(), await backend("blog")
    route = await node.route("Blog.Example.com.", blog.addr)
    assert (route["hostname"], route["status"]) == ("blog.example.com", "pending")
    assert node.pid() is None, "no Caddy before there is something to serve"
    assert await node.apply() == {"applied": 1, "unchanged": 0, "errors": []}
    status, found = await node.call("GET", f"/api/proxy/routes/{route['id']}")
    assert (status, found["status"]) == (200, "active")
    answer = await node.visit("blog.example.com", "/a?b=c")
    assert (answer.status, answer.json["name"], answer.json["path"]) == (200, "blog", "/a?b=c")
    assert await node.apply() == {"applied": 0, "unchanged": 1, "errors": []}


async def test_the_examples_of_the_reference_are_answered_as_printed(door_node):
    node = await door_node()
    status, route = await node.call("POST", "/api/proxy/routes", SUBDOMAIN)
    assert status == 201
    assert re.fullmatch(r"route_[a-z0-9]{13}", route.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", route.pop("created_at"))
    assert route == {**SUBDOMAIN, "status": "pending", "kind": "custom"}
    status, route = await node.call("POST", "/api/proxy/routes", MANUAL)
    assert status == 201 and route["upstream_addr"] == "localhost:9090" and "upstream_id" not in route
    status, listed = await node.call("GET", "/api/proxy/routes")
    assert status == 200 and {r["hostname"] for r in listed} == {"git.example.com", "metrics.example.com"}
    status, _ = await node.call("DELETE", f"/api/proxy/routes/{route['id']}")
    assert status == 204
    status, error = await node.call("GET", f"/api/proxy/routes/{route['id']}")
    assert (status, error["error"]) == (404, "route_not_found")


async def test_the_apex_is_repointed_only_when_confirmed_and_never_deleted(door_node):
    node = await door_node(base_domain="Home.Test.")
    status, apex = await node.call("GET", "/api/proxy/routes/route_apex")
    assert (status, apex["hostname"], apex["upstream_type"], apex["kind"]) == (200, "home.test", "ui", "apex")
    path, body = "/api/proxy/routes/route_apex", {"upstream_type": "app", "upstream_id": "app_abc123"}
    status, error = await node.call("PUT", path, body)
    assert (status, error) == (
        409,
        {
            "error": "apex_repoint_requires_confirm",
            "message": "Re-pointing the apex domain will move the OS UI away from this address. Resubmit with"
            " ?confirm=true to proceed.",
        },
    )
    status, apex = await node.call("PUT", f"{path}?confirm=true", body)
    assert (status, apex["upstream_id"], apex["status"]) == (200, "app_abc123", "pending")
    status, error = await node.call("DELETE", path)
    assert (status, error["error"]) == (409, "route_protected")
    status, apex = await node.call("PUT", path, {"require_auth": True})
    assert (status, apex["require_auth"]) == (200, True), "nothing moves, so nothing is to be confirmed"
    assert (await node.call("PUT", path, {"hostname": "other.test"}))[0] == 409


async def test_there_is_no_apex_without_a_base_domain(door_node):
    node = await door_node()
    assert (await node.call("GET", "/api/proxy/routes/route_apex"))[0] == 404


async def test_a_hostname_has_one_route_however_it_is_written(door_node):
    node = await door_node()
    await node.route("straße.example.com", "localhost:9090")
    for same in ("STRAßE.Example.com", "xn--strae-oqa.example.com", "straße.example.com."):
        status, error = await node.call("POST", "/api/proxy/routes", {**MANUAL, "hostname": same})
        assert (status, error["error"]) == (409, "hostname_taken"), same
    other = await node.route("other.example.com", "localhost:9090")
    status, error = await node.call("PUT", f"/api/proxy/routes/{other['id']}", {"hostname": "straße.example.com"})
    assert (status, error["error"]) == (409, "hostname_taken")


def test_hostnames_have_one_form():
    assert normalise("Git.Example.COM.") == "git.example.com"
    assert normalise("bücher.example.com") == "xn--bcher-kva.example.com"
    assert normalise("*.Example.com") == "*.example.com"


def test_what_is_no_hostname_is_refused():
    for bad in (
        "", ".", "localhost", "a..b", "-a.example.com", "a-.example.com", "a_b.example.com", "http://a.example.com",
        "a.example.com:80", "a.example.com/x", "a b.example.com", "192.168.1.5", "::1", "1.2.3", "*.",
        "a.*.example.com",
        f"{'a' * 64}.example.com", f"{'a.' * 130}com", "xn--zzzzzzzzzzzz.example.com", "{env.HOME}.example.com",
        "**.example.com",
    ):  # fmt: skip
        try:
            normalise(bad)
        except BadHostname:
            continue
        raise AssertionError(f"{bad!r} is taken for a hostname")


async def test_bad_bodies_are_told_by_field(door_node):
    node = await door_node()
    for change, path in (
        ({"hostname": "not a host"}, "hostname"),
        ({"hostname": ""}, "hostname"),
        ({"upstream_type": "other"}, "upstream_type"),
        ({"upstream_type": "app", "upstream_addr": None}, "upstream_id"),
        ({"upstream_addr": None}, "upstream_addr"),
        ({"upstream_addr": "nowhere"}, "upstream_addr"),
        ({"upstream_addr": "unix//run/caddy.sock"}, "upstream_addr"),
        ({"upstream_addr": "localhost:0"}, "upstream_addr"),
        ({"upstream_addr": "localhost:99999"}, "upstream_addr"),
        ({"path_prefix": "/a/../b"}, "path_prefix"),
        ({"path_prefix": "/.cloudos/x"}, "path_prefix"),
        ({"ip_allow": ["10.0.0.0/33"]}, "ip_allow"),
        ({"allowed_roles": ["admin"]}, "allowed_roles"),
        ({"request_headers": {"Remote-User": "admin"}}, "request_headers"),
        ({"request_headers": {"X-A": "{env.HOME}"}}, "request_headers"),
        ({"request_headers": {"X-A": "a\r\nb: c"}}, "request_headers"),
        ({"max_body_mb": 0}, "max_body_mb"),
        ({"colour": "red"}, "colour"),
    ):
        status, error = await node.call("POST", "/api/proxy/routes", {**MANUAL, **change})
        assert (status, error["error"]) == (400, "invalid_request"), change
        assert error["fields"][0]["path"].split(".")[0] == path, (change, error)


async def test_a_wildcard_needs_the_dns_challenge(door_node):
    node = await door_node(route_certificates="acme")
    status, error = await node.call("POST", "/api/proxy/routes", {**MANUAL, "hostname": "*.example.com"})
    assert status == 400 and "DNS challenge" in error["message"]


async def test_a_wildcard_needs_a_caddy_with_the_dns_providers_module(door_node):
    node = await door_node(route_certificates="acme", acme_dns_provider={"name": "cloudflare"})
    status, error = await node.call("POST", "/api/proxy/routes", {**MANUAL, "hostname": "*.example.com"})
    assert status == 400 and "dns.providers.cloudflare" in error["message"], "the stock Caddy has no DNS provider"


async def test_a_wildcard_is_served_below_the_names_that_are_there(door_node, backend):
    node, any_, blog = await door_node(), await backend("any"), await backend("blog")
    await node.route("*.example.com", any_.addr)
    await node.route("blog.example.com", blog.addr)
    await node.apply()
    assert (await node.visit("blog.example.com")).json["name"] == "blog"
    assert (await node.visit("else.example.com")).json["name"] == "any"
    assert (await node.visit("example.org")).status == 404


async def test_viewers_read_and_operators_change(door_node):
    node = await door_node()
    viewer, operator = node.host.viewer, node.host.operator
    for path in ("routes", "upstreams", "history", "diff", "status"):
        assert (await node.call("GET", f"/api/proxy/{path}", client=viewer))[0] == 200, path
        assert (await node.call("GET", f"/api/proxy/{path}", client=node.host.anonymous))[0] == 401, path
    assert (await node.call("POST", "/api/proxy/routes", MANUAL, client=viewer))[0] == 403
    assert (await node.call("POST", "/api/proxy/apply", client=viewer))[0] == 403
    status, route = await node.call("POST", "/api/proxy/routes", MANUAL, client=operator)
    assert status == 201
    path = f"/api/proxy/routes/{route['id']}"
    assert (await node.call("PUT", path, {}, client=viewer))[0] == 403
    assert (await node.call("DELETE", path, client=viewer))[0] == 403
    assert (await node.call("DELETE", path, client=operator))[0] == 204


async def test_each_change_is_told_and_nothing_secret_with_it(door_node):
    node = await door_node()
    route = await node.route("a.example.com", "localhost:9090", request_headers={"Authorization": "Bearer hush"})
    await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"upstream_addr": "localhost:9091"})
    await node.call("DELETE", f"/api/proxy/routes/{route['id']}")
    log = [e for e in await node.host.event_log() if e.type.startswith("route.")]
    assert [e.type for e in log] == ["route.created", "route.updated", "route.deleted"]
    assert {e.resource for e in log} == {route["id"]} and {e.actor.name for e in log} == {"admin"}
    assert "hush" not in str(log)


async def test_models_equal_migrations(door_node):
    node = await door_node()
    assert node.host.schema_differences("proxy") == []


async def test_routes_survive_a_restart(door_node, backend):
    node, blog = await door_node(), await backend("blog")
    await node.route("blog.example.com", blog.addr)
    await node.apply()
    first = node.pid()
    await node.host.restart()

    async def served():
        try:
            return (await node.visit("blog.example.com")).status == 200
        except OSError:
            return False

    await node.until(served)
    assert node.pid() != first
    assert (await node.call("GET", "/api/proxy/routes"))[1][0]["status"] == "active"


async def test_a_name_with_the_dot_of_the_root_leads_to_the_name_without_it(door_node, backend):
    """No guard is asked about two spellings of a name: one with paths behind the sign-in is none of them."""
    node, app = await door_node(), await backend("app")
    await node.route("dot.example.com", app.addr)
    await node.route("dot.example.com", app.addr, path_prefix="/admin", require_auth=True)
    await node.apply()
    before = len(app.seen)
    for path in ("/x?y=1", "/admin;x=1", "/admin%3bx", "/x;/..;/admin", "/x/%c0%ae%c0%ae/admin"):
        for name in ("dot.example.com.", "dot.example.com..", f"dot.example.com.:{node.http_port}"):
            answer = await node.visit(name, path)
            port = f":{node.http_port}" if ":" in name else ""
            assert (answer.status, answer.headers["Location"][: 17 + len(port)]) == (308, f"//dot.example.com{port}")
    assert (await node.visit(".", "/elsewhere.example")).status == 404
    assert len(app.seen) == before
    assert (await node.visit("dot.example.com")).json["name"] == "app"
