"""Cross-node sync without a Control Panel: gated where it begins, kept where it is."""

from __future__ import annotations

import pytest
from cloudos_sdk.capabilities import ControlPanelLink, NoteChange, NoteDraft, NoteStore, PlanSource
from cloudos_sdk.testing.fakes import FakeControlPanelLink, FakePlanSource, providing
from mcp_node import eventually


@pytest.fixture
async def host(cloudos):
    """Run a node on the plan pro."""
    plan = FakePlanSource("pro")
    found = await cloudos(
        "notes", "memory", providing(PlanSource, plan), settings={"memory": {"embedding": {"backend": "off"}}}
    )
    found.plan = plan
    return found


async def post(host, what, namespace="work", who=None):
    answer = await (who or host.operator).post(f"/api/mcp/sync/{what}", json={"namespace": namespace})
    return answer.status_code, await answer.get_json()


async def status(host, who=None):
    return await (await (who or host.operator).get("/api/mcp/sync/status")).get_json()


async def test_on_community_enabling_and_resyncing_want_an_upgrade_and_nothing_else_does(host):
    host.plan.plan = "community"
    for what in ("enable", "resync"):
        code, problem = await post(host, what)
        assert code == 402
        assert problem == {
            "error": "upgrade_required",
            "feature": "orbit_memory_sync",
            "current_plan": "community",
            "required_plan": "pro",
            "message": "Memory sync between nodes requires Orbit Pro.",
            "upgrade_url": "/api/billing/upgrade",
        }
    for what in ("disable", "reset"):
        assert (await post(host, what))[0] == 404, "there is no such namespace, and no gate"
    assert (await status(host))["namespaces"] == []


async def test_a_namespace_is_opted_in_paused_and_opted_in_again(host):
    code, row = await post(host, "enable")
    assert (code, row["namespace"], row["enabled"], row["cursor"], row["outbox"]) == (200, "work", True, 0, 0)
    assert (await post(host, "disable"))[1]["enabled"] is False
    host.plan.plan = "community"
    assert (await status(host))["namespaces"][0]["enabled"] is False, "reading is never gated"
    host.plan.plan = "pro"
    assert (await post(host, "enable"))[1]["enabled"] is True
    assert [row["namespace"] for row in (await status(host))["namespaces"]] == ["work"]
    assert (await status(host, host.admin))["namespaces"] == [], "each person has their own"
    told = [e.type for e in await host.event_log()]
    assert told == ["memory.sync_enabled", "memory.sync_disabled", "memory.sync_enabled"]


async def test_the_status_says_that_nothing_carries_it(host, cloudos):
    said = await status(host)
    assert said["connected"] is False and "No Control Panel is connected" in said["detail"]
    await post(host, "enable")
    code, row = await post(host, "resync")
    assert code == 202
    assert row["resync_requested_at"] == "2026-01-01T00:00:00Z" and "No Control Panel" in row["error"]


async def test_a_connected_panel_is_told_of(cloudos):
    host = await cloudos("memory", providing(ControlPanelLink, FakeControlPanelLink(joined=True)))
    said = await status(host)
    assert said["connected"] is True and "not in this version" in said["detail"]


async def test_changes_of_an_opted_in_namespace_wait_once_for_each_note_over_a_restart(host):
    await post(host, "enable")
    store = host.ctx("memory").use(NoteStore)
    note = await store.create("usr_operator", NoteDraft(content="One", namespace="work"))
    await store.update("usr_operator", note.id, NoteChange(content="Two"))
    await store.create("usr_operator", NoteDraft(content="Elsewhere", namespace="home"))
    await store.create("usr_admin", NoteDraft(content="Of another", namespace="work"))

    async def waits(count):
        return (await status(host))["namespaces"][0]["outbox"] == count

    await eventually(lambda: waits(1))
    await store.create("usr_operator", NoteDraft(content="Three", namespace="work"))
    await eventually(lambda: waits(2))
    await host.restart()
    assert await waits(2)
    store = host.ctx("memory").use(NoteStore)
    await store.create("usr_operator", NoteDraft(content="Four", namespace="work"))
    await eventually(lambda: waits(3))
    assert (await post(host, "disable"))[1]["outbox"] == 3, "pausing keeps it"
    assert (await post(host, "reset"))[1]["outbox"] == 0
    assert [e.type for e in await host.event_log()][-1] == "memory.sync_reset"


async def test_bad_namespaces_and_viewers_are_refused(host):
    for namespace in ("", "No!", "x" * 64, 7, None):
        assert (await post(host, "enable", namespace))[0] == 400
    assert (await post(host, "enable", who=host.viewer))[0] == 403
