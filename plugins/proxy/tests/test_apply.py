"""Apply: all staged changes at once, or none, and a way back."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from dataclasses import replace

from cloudos_proxy.plugin import cloudos_health
from cloudos_proxy.routes.store import RouteStore
from components.ports import free_ports


async def test_one_upstream_that_does_not_answer_holds_up_no_other_route(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("one.example.com", app.addr)
    await node.apply()
    two = await node.route("two.example.com", app.addr)
    (port,) = free_ports(1)
    dead = await node.route("dead.example.com", f"127.0.0.1:{port}")
    outcome = await node.apply()
    assert (outcome["applied"], outcome["unchanged"]) == (1, 1)
    (error,) = outcome["errors"]
    assert (error["route_id"], error["hostname"]) == (dead["id"], "dead.example.com")
    assert "does not answer" in error["message"]
    assert (await node.visit("two.example.com")).status == 200
    assert (await node.visit("dead.example.com")).status == 404
    states = {r["id"]: r for r in (await node.call("GET", "/api/proxy/routes"))[1]}
    assert states[two["id"]]["status"] == "active"
    assert states[dead["id"]]["status"] == "error" and "does not answer" in states[dead["id"]]["error"]


async def test_a_change_that_cannot_be_served_leaves_the_route_as_it_is_served(door_node, backend):
    node, app, other = await door_node(), await backend("app"), await backend("other")
    (port,) = free_ports(1)
    one = await node.route("one.example.com", app.addr)
    await node.apply()
    await node.call("PUT", f"/api/proxy/routes/{one['id']}", {"upstream_addr": f"127.0.0.1:{port}"})
    await node.route("two.example.com", other.addr)
    outcome = await node.apply()
    assert (outcome["applied"], [error["route_id"] for error in outcome["errors"]]) == (1, [one["id"]])
    assert (await node.visit("one.example.com")).json["name"] == "app"
    assert (await node.visit("two.example.com")).json["name"] == "other"
    assert (await node.apply())["applied"] == 0
    failed = [event.data["hostnames"] for event in await node.host.event_log() if event.type == "route.apply_failed"]
    assert failed == [["one.example.com"]] * 2
    await backend("late", port)
    assert await node.apply() == {"applied": 1, "unchanged": 1, "errors": []}
    assert (await node.visit("one.example.com")).json["name"] == "late"


async def test_force_applies_although_an_upstream_is_down(door_node, backend):
    node, app = await door_node(), await backend()
    (port,) = free_ports(1)
    dead = await node.route("dead.example.com", f"127.0.0.1:{port}")
    await node.route("two.example.com", app.addr)
    outcome = await node.apply("?force=true")
    assert outcome["applied"] == 2 and outcome["errors"][0]["route_id"] == dead["id"]
    assert (await node.visit("two.example.com")).status == 200
    assert (await node.visit("dead.example.com")).status == 502
    later = await backend("late", port)
    assert (await node.visit("dead.example.com")).json["name"] == later.name
    assert await node.apply() == {"applied": 0, "unchanged": 2, "errors": []}


async def test_an_active_route_whose_app_stopped_does_not_hold_up_others(door_node, backend):
    node, one, two = await door_node(), await backend("one"), await backend("two")
    await node.route("one.example.com", one.addr)
    await node.apply()
    await one.stop()
    await node.route("two.example.com", two.addr)
    assert await node.apply() == {"applied": 1, "unchanged": 1, "errors": []}


async def test_what_caddy_refuses_is_left_out_and_named(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("one.example.com", app.addr)
    await node.apply()
    await node.route("fine.example.com", app.addr)
    bad = await node.route("bad.example.com", app.addr)
    store = node.host.ctx("proxy").use(RouteStore)
    async with store.lock:  # past all checks of ours
        await store.put([replace(store.get(bad["id"]), options='{"ip_allow":["nonsense"]}')])
    outcome = await node.apply()
    assert outcome["applied"] == 1
    assert outcome["errors"][0]["hostname"] == "bad.example.com" and "nonsense" in outcome["errors"][0]["message"]
    assert (await node.visit("one.example.com")).status == 200
    assert (await node.visit("fine.example.com")).status == 200
    assert (await node.visit("bad.example.com")).status == 404
    log = [e.type for e in await node.host.event_log() if e.type.startswith("route.appl")]
    assert log == ["route.applied", "route.applied", "route.apply_failed"]


async def test_a_first_document_that_caddy_refuses_leaves_nothing_in_force(door_node, backend):
    node, app = await door_node(), await backend()
    bad = await node.route("bad.example.com", app.addr)
    store = node.host.ctx("proxy").use(RouteStore)
    async with store.lock:
        await store.put([replace(store.get(bad["id"]), options='{"ip_allow":["nonsense"]}')])
    assert (await node.apply())["errors"][0]["hostname"] == "bad.example.com"
    await node.call("DELETE", f"/api/proxy/routes/{bad['id']}")
    await node.route("one.example.com", app.addr)
    assert (await node.apply())["applied"] == 1
    assert (await node.visit("one.example.com")).status == 200


async def test_diff_tells_what_apply_would_change(door_node, backend):
    node, app, other = await door_node(), await backend(), await backend("other")
    kept, changed, gone = [await node.route(f"{name}.example.com", app.addr) for name in ("kept", "changed", "gone")]
    await node.apply()
    assert (await node.call("GET", "/api/proxy/diff"))[1] == {"changes": [], "unchanged": 3}
    await node.call("PUT", f"/api/proxy/routes/{changed['id']}", {"upstream_addr": other.addr, "max_body_mb": 5})
    await node.call("DELETE", f"/api/proxy/routes/{gone['id']}")
    new = await node.route("new.example.com", app.addr)
    _, diff = await node.call("GET", "/api/proxy/diff")
    told = {c["route_id"]: (c["hostname"], c["change"], c["fields"]) for c in diff["changes"]}
    assert told == {
        changed["id"]: ("changed.example.com", "changed", ["upstream_addr", "options"]),
        gone["id"]: ("gone.example.com", "removed", []),
        new["id"]: ("new.example.com", "added", []),
    }
    assert diff["unchanged"] == 1 and kept["id"] not in told
    assert (await node.visit("gone.example.com")).status == 200, "served until the next apply"
    assert await node.apply() == {"applied": 3, "unchanged": 1, "errors": []}
    assert (await node.visit("gone.example.com")).status == 404
    assert (await node.visit("changed.example.com")).json["name"] == "other"


async def test_rollback_serves_an_earlier_configuration_again(door_node, backend):
    node, one, two = await door_node(), await backend("one"), await backend("two")
    first = await node.route("a.example.com", one.addr, request_headers={"X-A": "1"})
    lost = await node.route("lost.example.com", one.addr)
    await node.apply()
    document = await node.running()
    await node.call("PUT", f"/api/proxy/routes/{first['id']}", {"upstream_addr": two.addr, "request_headers": None})
    await node.call("DELETE", f"/api/proxy/routes/{lost['id']}")
    newer = await node.route("newer.example.com", two.addr)
    await node.apply()
    assert (await node.visit("a.example.com")).json["name"] == "two"
    _, history = await node.call("GET", "/api/proxy/history")
    assert [h["current"] for h in history] == [True, False]
    assert [(h["routes"], h["changed"], h["applied_by"]) for h in history] == [(2, 3, "admin"), (2, 2, "admin")]
    status, outcome = await node.call("POST", f"/api/proxy/rollback/{history[1]['id']}")
    assert (status, outcome["errors"], outcome["applied"]) == (200, [], 3)
    assert await node.running() == document
    assert (await node.visit("a.example.com")).json["name"] == "one"
    assert (await node.visit("lost.example.com")).status == 200
    states = {r["id"]: r["status"] for r in (await node.call("GET", "/api/proxy/routes"))[1]}
    assert states == {first["id"]: "active", lost["id"]: "active", newer["id"]: "pending"}
    _, again = await node.call("GET", "/api/proxy/history")
    assert len(again) == 3 and history[1]["id"] in again[0]["reason"]
    status, error = await node.call("POST", "/api/proxy/rollback/apl_thereisnone")
    assert (status, error["error"]) == (404, "applied_configuration_not_found")


async def test_the_last_twenty_are_kept(door_node, backend):
    node, app = await door_node(), await backend()
    route = await node.route("a.example.com", app.addr)
    for size in range(1, 23):
        await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"max_body_mb": size})
        assert (await node.apply())["applied"] == 1
    _, history = await node.call("GET", "/api/proxy/history")
    assert len(history) == 20


async def test_a_route_that_changes_while_it_is_applied_stays_pending(door_node, backend):
    import asyncio

    node, app, other = await door_node(), await backend(), await backend("other")
    route = await node.route("a.example.com", app.addr)
    applying = asyncio.create_task(node.apply())
    await asyncio.sleep(0.05)
    await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"upstream_addr": other.addr})
    await applying
    _, found = await node.call("GET", f"/api/proxy/routes/{route['id']}")
    served = (await node.visit("a.example.com")).json["name"]
    assert (found["status"], served) in (("pending", "backend"), ("active", "other"))
    await node.apply()
    assert (await node.visit("a.example.com")).json["name"] == "other"


async def test_a_port_in_use_is_told_by_name_and_the_node_goes_on(door_node, backend):
    node, app = await door_node(), await backend()
    with socket.create_server(("127.0.0.1", node.http_port)):
        await node.route("a.example.com", app.addr)
        status, error = await node.call("POST", "/api/proxy/apply")
        assert (status, error["error"], error["port"]) == (503, "port_in_use", node.http_port)
        assert "python" in error["message"] and str(os.getpid()) in error["message"]
        assert (await node.call("GET", "/api/proxy/status"))[1]["trouble"] == error["message"]
        health = await cloudos_health(node.host.ctx("proxy"))
        assert (health.ok, health.detail) == (False, error["message"])
        assert node.host.state("proxy") == "running"
        assert (await node.call("GET", "/api/proxy/routes"))[0] == 200
    assert (await node.call("GET", "/api/proxy/status"))[1]["trouble"] is None
    assert (await node.apply())["applied"] == 1


async def test_a_program_that_is_not_there_is_told(door_node, backend):
    node, app = await door_node(caddy_program="/nowhere/caddy"), await backend()
    await node.route("a.example.com", app.addr)
    status, error = await node.call("POST", "/api/proxy/apply")
    assert (status, error["error"]) == (503, "caddy_missing")
    assert "CLOUDOS_PROXY__CADDY_PROGRAM" in error["message"]


async def test_a_caddy_that_is_run_by_others_is_told_what_to_serve(door_node, backend, caddy_program, tmp_path):
    import subprocess

    (admin,) = free_ports(1)
    boot = f'{{"admin":{{"listen":"127.0.0.1:{admin}","config":{{"persist":false}}}}}}'
    other = subprocess.Popen(  # noqa: ASYNC220
        [caddy_program, "run", "--config", "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path,
        env={"HOME": str(tmp_path)},
    )  # fmt: skip
    with contextlib.suppress(subprocess.TimeoutExpired):
        other.communicate(boot.encode(), timeout=0.1)
    try:
        node, app = await door_node(admin_address=f"127.0.0.1:{admin}", http3=False), await backend()
        await node.route("a.example.com", app.addr)

        async def applied():
            status, outcome = await node.call("POST", "/api/proxy/apply")
            return status == 200 and outcome

        assert (await node.until(applied))["applied"] == 1
        assert (await node.visit("a.example.com")).status == 200
        await node.host.stop()
        assert other.poll() is None, "it is not ours to end"
    finally:
        other.send_signal(signal.SIGTERM)
        other.wait(10)


async def test_what_stays_as_it_was_gives_way_to_who_has_its_name_now(door_node, backend):
    """A route that cannot be moved is not served on under a name that another has, which may ask for a sign-in."""
    node, app = await door_node(), await backend("app")
    later = await node.route("later.example.com", app.addr)
    await node.host.clock.advance(1)
    first = await node.route("name.example.com", app.addr)
    await node.apply()
    changes = (
        (first, {"hostname": "moved.example.com", "upstream_addr": "127.0.0.1:19"}),
        (later, {"hostname": "name.example.com", "require_auth": True}),
    )
    for route, change in changes:
        status, said = await node.call("PUT", f"/api/proxy/routes/{route['id']}", change)
        assert status == 200, said
    outcome = await node.apply()
    assert [error["route_id"] for error in outcome["errors"]] == [first["id"]]
    assert (await node.visit("name.example.com", "/secret")).status in (302, 401, 503)
