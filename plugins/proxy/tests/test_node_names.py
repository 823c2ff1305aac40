"""Where the node's own names lead is for admins to say: who is behind one is given passwords and sign-ins."""

from __future__ import annotations

import json

import pytest
from cloudos_sdk.capabilities import AppAddress, Apps
from cloudos_sdk.testing.fakes import FakeApps, providing

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
