"""Where the node's own names lead is for admins to say: who is behind one is given passwords and sign-ins."""

from __future__ import annotations

import json

import pytest
from cloudos_proxy.routes.upstream_resolver import Resolver
from cloudos_sdk.capabilities import AppAddress, Apps, Users
from cloudos_sdk.testing.fakes import FakeApps, FakeUsers, providing

BASE, NODE = "home.test", "node.home.test"
APP = AppAddress("app_1", "blog", "running", "127.0.0.1:19")
SPELLINGS = (BASE, "HOME.Test", "home.test.", "home\u3002test", "\uff48\uff4fme.test")
SETTINGS = {"base_domain": BASE, "node_url": f"https://{NODE}:8443"}


async def refused(node, method, path, body=None):
    """Ask as an operator, who may not, and see that nothing was changed."""
    before = await everything(node)
    status, error = await node.call(method, path, body, client=node.host.operator)
    assert (status, error["error"]) == (403, "admin_required"), (method, path, body, status, error)
    assert "admin" in error["message"] and error["hostname"]
    assert await everything(node) == before


async def everything(node):
    """Return all routes and domains, but for those that the node makes for apps in its own time."""
    _, routes = await node.call("GET", "/api/proxy/routes")
    _, domains = await node.call("GET", "/api/domains")
    return [route for route in routes if route["kind"] != "app"], domains


def manual(hostname, **more):
    return {"hostname": hostname, "upstream_type": "manual", "upstream_addr": "127.0.0.1:19", **more}


@pytest.mark.parametrize("hostname", [*SPELLINGS, NODE, NODE.upper(), f"{NODE}.", f"*.{BASE}"])
@pytest.mark.parametrize("prefix", ["", "/api", "/api/auth/login", "/anything"])
async def test_an_operator_makes_no_route_of_the_nodes_name(door_node, hostname, prefix):
    node = await door_node(**SETTINGS)
    await refused(node, "POST", "/api/proxy/routes", manual(hostname, path_prefix=prefix))
    await refused(node, "POST", "/api/proxy/routes", manual(hostname, path_prefix=prefix, require_auth=True))


async def test_an_operator_re_points_no_route_to_the_nodes_name_or_from_it(door_node):
    node = await door_node(providing(Apps, FakeApps(APP)), **SETTINGS)
    status, other = await node.call("POST", "/api/proxy/routes", manual("blog.test.example"), client=node.host.operator)
    assert status == 201
    for hostname in (*SPELLINGS, NODE, f"*.{BASE}"):
        await refused(node, "PUT", f"/api/proxy/routes/{other['id']}", {"hostname": hostname})
    await refused(node, "PUT", f"/api/proxy/routes/{other['id']}", {"upstream_type": "ui", "upstream_addr": None})
    apex = "/api/proxy/routes/route_apex"
    for body in (
        {"upstream_type": "app", "upstream_id": "app_1"},
        {"upstream_type": "manual", "upstream_addr": "127.0.0.1:19"},
        {"request_headers": {"X-Taken": "{http.request.header.Cookie}"}},
        {"ip_allow": ["10.0.0.0/8"]},
        {"require_auth": True},
        {},
    ):
        for query in ("", "?confirm=true"):
            await refused(node, "PUT", apex + query, body)
    status, again = await node.call("PUT", f"{apex}?confirm=true", {"upstream_type": "app", "upstream_id": "app_1"})
    assert (status, again["upstream_id"]) == (200, "app_1"), "an admin may"
    await refused(node, "PUT", f"{apex}?confirm=true", {"upstream_type": "ui", "upstream_id": None})


async def test_a_name_that_leads_to_the_ui_is_the_nodes_from_then_on(door_node):
    node = await door_node()
    await refused(node, "POST", "/api/proxy/routes", {"hostname": "ui.example.com", "upstream_type": "ui"})
    status, ui = await node.call("POST", "/api/proxy/routes", {"hostname": "ui.example.com", "upstream_type": "ui"})
    assert status == 201
    await refused(node, "DELETE", f"/api/proxy/routes/{ui['id']}")
    await refused(node, "PUT", f"/api/proxy/routes/{ui['id']}", {"hostname": "old-ui.example.com"})
    await refused(node, "POST", "/api/proxy/routes", manual("ui.example.com", path_prefix="/api"))
    await refused(node, "POST", "/api/proxy/routes", manual("*.example.com"))
    status, _ = await node.call("POST", "/api/proxy/routes", manual("free.example.com"), client=node.host.operator)
    assert status == 201, "other names are an operator's"


async def test_its_certificates_are_an_admins_too(door_node):
    node = await door_node(providing(Apps, FakeApps(APP)), **SETTINGS)
    for domain in (*SPELLINGS, NODE, f"*.{BASE}"):
        await refused(node, "POST", "/api/domains", {"domain": domain, "auto_ssl": False})
        await refused(node, "POST", "/api/domains", {"domain": domain, "auto_ssl": False, "app_id": "app_1"})
    free = {"domain": "blog.example.com", "auto_ssl": False, "app_id": "app_1"}
    status, domain = await node.call("POST", "/api/domains", free, client=node.host.operator)
    assert status == 201
    await refused(node, "PUT", f"/api/domains/{domain['id']}", {"domain": NODE})
    status, own = await node.call("POST", "/api/domains", {"domain": NODE, "auto_ssl": False})
    assert status == 201, own
    for body in ({}, {"app_id": "app_1"}, {"auto_ssl": True}, {"domain": "elsewhere.example.com"}):
        await refused(node, "PUT", f"/api/domains/{own['id']}", body)
    await refused(node, "DELETE", f"/api/domains/{own['id']}")
    status, error = await node.call("PUT", f"/api/domains/{own['id']}", {"app_id": "app_1"})
    assert status == 400 and "route" in error["message"], "where it leads is said by a route alone"


async def test_an_operator_goes_back_to_nothing_that_leads_it_elsewhere(door_node, backend):
    app = await backend("app")
    node = await door_node(
        providing(Apps, FakeApps(AppAddress("app_1", "blog", "running", app.addr))), base_domain=BASE
    )
    apex = "/api/proxy/routes/route_apex?confirm=true"
    await node.call("PUT", apex, {"upstream_type": "app", "upstream_id": "app_1"})
    await node.route("a.example.com", app.addr)
    await node.apply()
    await node.call("PUT", apex, {"upstream_type": "ui", "upstream_id": None})
    await node.apply("?force=true")
    _, (newest, oldest) = await node.call("GET", "/api/proxy/history")
    await refused(node, "POST", f"/api/proxy/rollback/{oldest['id']}?force=true")
    await node.route("b.example.com", app.addr)
    await node.apply("?force=true")
    status, outcome = await node.call(
        "POST", f"/api/proxy/rollback/{newest['id']}?force=true", client=node.host.operator
    )
    assert (status, outcome["applied"]) == (200, 1), "what leaves the node's names alone is an operator's"
    _, outcome = await node.call("POST", f"/api/proxy/rollback/{oldest['id']}?force=true")
    assert outcome["errors"] == [], outcome
    assert (await node.visit(BASE)).json["name"] == "app", "an admin may go back"


class Keyed:
    """A node with real accounts; `admin` and `key` are clients of the API with an admin's session and with a key."""

    def __init__(self, node, session):
        self.node = node
        self._session = session

    async def admin(self, method, path, body=None):
        return await self._call(self._session, method, path, body)

    async def key(self, method, path, body=None):
        return await self._call(self._key, method, path, body)

    async def make_key(self, *scopes):
        status, made = await self.admin("POST", "/api/keys", {"name": "ci", "scopes": list(scopes)})
        assert status == 201, made
        self._key = made["key"]

    async def _call(self, bearer, method, path, body):
        more = {} if body is None else {"json": body}
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await self.node.host.anonymous.request(method, path, headers=headers, **more)
        return answer.status_code, await answer.get_json() if await answer.get_data() else None


@pytest.fixture
async def keyed(door_node):
    async def run(*plugins, **settings):
        node = await door_node("auth", *plugins, **settings)
        account = {"username": "admin", "password": "a long password"}
        await node.host.anonymous.post("/api/auth/setup", json=account)
        answer = await node.host.anonymous.post("/api/auth/login", json=account)
        found = Keyed(node, (await answer.get_json())["access_token"])
        await found.make_key("proxy:read", "proxy:write", "domains:read", "domains:write")
        return found

    return run


async def test_an_admins_key_is_no_admin_of_the_nodes_names(keyed):
    node = await keyed(providing(Apps, FakeApps(APP)), **SETTINGS)
    status, free = await node.key("POST", "/api/proxy/routes", manual("free.example.com"))
    assert status == 201, "other names are a key's that has the scope"
    status, domain = await node.key("POST", "/api/domains", {"domain": "free.example.com", "auto_ssl": False})
    assert status == 201, domain
    status, own = await node.admin("POST", "/api/domains", {"domain": NODE, "auto_ssl": False})
    assert status == 201, own
    status, ui = await node.admin("POST", "/api/proxy/routes", {"hostname": "ui.example.com", "upstream_type": "ui"})
    assert status == 201, ui
    route, apex = f"/api/proxy/routes/{free['id']}", "/api/proxy/routes/route_apex?confirm=true"
    for method, path, body in (
        ("POST", "/api/proxy/routes", manual(NODE)),
        ("POST", "/api/proxy/routes", manual(BASE, path_prefix="/api/auth/login")),
        ("POST", "/api/proxy/routes", manual(f"*.{BASE}")),
        ("POST", "/api/proxy/routes", {"hostname": "other.example.com", "upstream_type": "ui"}),
        ("PUT", route, {"hostname": NODE}),
        ("PUT", route, {"upstream_type": "ui", "upstream_addr": None}),
        ("PUT", apex, {"upstream_type": "app", "upstream_id": "app_1"}),
        ("PUT", apex, {}),
        ("DELETE", f"/api/proxy/routes/{ui['id']}", None),
        ("POST", "/api/domains", {"domain": NODE, "auto_ssl": False}),
        ("PUT", f"/api/domains/{domain['id']}", {"domain": BASE}),
        ("PUT", f"/api/domains/{own['id']}", {"auto_ssl": True}),
        ("DELETE", f"/api/domains/{own['id']}", None),
    ):
        status, error = await node.key(method, path, body)
        assert (status, error["error"]) == (403, "person_required"), (method, path, body, status, error)
        assert "signed in" in error["message"] and error["hostname"]
    status, moved = await node.admin("PUT", apex, {"upstream_type": "app", "upstream_id": "app_1"})
    assert (status, moved["upstream_id"]) == (200, "app_1"), "an admin who is signed in may"


async def test_a_key_goes_back_to_nothing_that_leads_the_nodes_name_elsewhere(keyed, backend):
    app = await backend("app")
    node = await keyed(providing(Apps, FakeApps(AppAddress("app_1", "blog", "running", app.addr))), base_domain=BASE)
    apex = "/api/proxy/routes/route_apex?confirm=true"
    for change in ({"upstream_type": "app", "upstream_id": "app_1"}, {"upstream_type": "ui", "upstream_id": None}):
        assert (await node.admin("PUT", apex, change))[0] == 200
        status, outcome = await node.key("POST", "/api/proxy/apply?force=true")
        assert (status, outcome["applied"] > 0) == (200, True), "an admin staged it"
    _, (_, oldest) = await node.admin("GET", "/api/proxy/history")
    status, error = await node.key("POST", f"/api/proxy/rollback/{oldest['id']}?force=true")
    assert (status, error["error"]) == (403, "person_required")
    status, outcome = await node.admin("POST", f"/api/proxy/rollback/{oldest['id']}?force=true")
    assert (status, outcome["errors"]) == (200, [])


async def test_a_route_of_a_key_is_not_vouched_for_when_its_name_becomes_the_nodes(keyed, backend):
    thief = await backend("thief")
    node = await keyed()
    name = "later.example.com"
    status, route = await node.key(
        "POST", "/api/proxy/routes", {**manual(name, path_prefix="/api"), "upstream_addr": thief.addr}
    )
    assert status == 201
    assert (await node.admin("POST", "/api/proxy/routes", {"hostname": name, "upstream_type": "ui"}))[0] == 201
    await node.admin("POST", "/api/proxy/apply?force=true")
    assert (await node.node.visit(name, "/api/auth/login")).json is None
    _, shown = await node.admin("GET", f"/api/proxy/routes/{route['id']}")
    assert "an admin must save" in shown["error"]


async def test_an_app_with_the_nodes_name_gets_no_route_by_itself(door_node):
    named = FakeApps(AppAddress("app_1", "node", "running", "127.0.0.1:19"), APP)
    node = await door_node(providing(Apps, named), **SETTINGS)

    async def names():
        _, listed = await node.call("GET", "/api/proxy/routes")
        found = {route["hostname"] for route in listed}
        return found if "blog.home.test" in found else None

    assert await node.until(names) == {BASE, "blog.home.test"}


async def test_a_route_that_was_there_before_its_name_was_the_nodes_is_not_served(door_node, backend):
    thief = await backend("thief")
    node = await door_node()
    operator = node.host.operator
    for hostname, prefix in ((BASE, "/api/auth"), (NODE, "")):
        body = {**manual(hostname, path_prefix=prefix), "upstream_addr": thief.addr}
        assert (await node.call("POST", "/api/proxy/routes", body, client=operator))[0] == 201
    await node.apply()
    assert (await node.visit(BASE, "/api/auth/login")).json["name"] == "thief"
    host = node.host
    make = host._make

    def named():
        made = make()
        proxy = {**made.config.plugins["proxy"], **SETTINGS}
        made.config = type(made.config)(made.config.host, {"proxy": proxy}, made.config.source)
        return made

    host._make = named
    await host.restart()
    # the settings are read when a plugin is loaded, so the names are the node's from this start on
    await node.until(lambda: node.pid())

    async def shut():
        return [(await node.visit(name, "/api/auth/login")).status for name in (BASE, NODE)] == [404, 404]

    await node.until(shut)
    _, listed = await node.call("GET", "/api/proxy/routes")
    told = [route["error"] for route in listed if route["kind"] == "custom"]
    assert len(told) == 2 and all("an admin must save" in error for error in told), json.dumps(listed)
    outcome = await node.apply("?force=true")
    assert len(outcome["errors"]) >= 2
    assert (await node.visit(NODE)).status == 404
    (route,) = [route for route in listed if route["hostname"] == NODE]
    status, saved = await node.call("PUT", f"/api/proxy/routes/{route['id']}", {})
    assert (status, saved["status"]) == (200, "pending")
    await node.apply("?force=true")
    assert (await node.visit(NODE)).json["name"] == "thief", "an admin stands for it now"


async def test_who_is_no_admin_any_more_when_the_route_is_stored_has_made_none(door_node, monkeypatch):
    """To look at where it leads may take seconds."""
    users = FakeUsers()
    node = await door_node(providing(Users, users), **SETTINGS)
    check = Resolver.check_manual

    async def slow(self, addr):
        users.set("usr_admin", users.find("usr_viewer"))
        await check(self, addr)

    monkeypatch.setattr(Resolver, "check_manual", slow)
    status, error = await node.call("POST", "/api/proxy/routes", manual(NODE))
    assert (status, error["error"]) == (403, "admin_required")
    assert NODE not in str(await everything(node))
