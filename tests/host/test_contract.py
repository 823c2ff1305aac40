"""The host's own promises: shapes of errors, identity, settings, the outbox, operations."""

import asyncio
from dataclasses import dataclass

import pytest
from boot_plugins import notes_plugin

from cloudos_host.config import ConfigError, load


async def test_errors_have_the_shape_of_the_contract(cloudos):
    host = await cloudos(notes_plugin())
    for method, path, status, code in [
        ("GET", "/api/nothing", 404, "feature_not_installed"),
        ("GET", "/api/jotter/nothing", 404, "not_found"),
        ("PUT", "/api/health", 405, "method_not_allowed"),
    ]:
        answer = await host.client.request(method, path)
        body = await answer.get_json()
        assert (answer.status_code, body["error"]) == (status, code)
        assert body["message"]


@pytest.mark.parametrize("host_header", ["[::1]:8080", "a..b", "x" * 300, "näme", "a:b:c", "/", ""])
async def test_an_odd_host_is_no_error_of_ours(cloudos, host_header):
    host = await cloudos(notes_plugin())
    for path in ("/api/health", "/api/nothing", "/api/jotter//"):
        answer = await host.anonymous.get(path, headers={"Host": host_header})
        assert answer.status_code < 500


async def test_bodies_that_do_not_fit_are_refused_by_name(cloudos):
    host = await cloudos(notes_plugin())
    answer = await host.client.post("/api/jotter", json={"txt": "x"})
    assert answer.status_code == 400
    assert {f["path"] for f in (await answer.get_json())["fields"]} == {"text", "txt"}
    broken = await host.client.post("/api/jotter", data="{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, (await broken.get_json())["error"]) == (400, "invalid_request")
    media = await host.client.post("/api/jotter", data="x", headers={"Content-Type": "text/plain"})
    assert media.status_code == 415
    big = await host.client.post("/api/jotter", data=b"x" * 10_000_000, headers={"Content-Type": "application/json"})
    assert big.status_code == 413


async def test_a_crash_tells_nothing_of_the_inside(cloudos):
    host = await cloudos(notes_plugin())
    answer = await host.client.get("/api/jotter/crash")
    body = await answer.get_json()
    assert answer.status_code == 500
    assert body["request_id"] and "secret detail" not in str(body)


async def test_permissions_follow_the_role(cloudos):
    host = await cloudos(notes_plugin())
    assert (await host.anonymous.post("/api/jotter", json={"text": "x"})).status_code == 401
    assert (await host.viewer.post("/api/jotter", json={"text": "x"})).status_code == 403
    assert (await host.operator.post("/api/jotter", json={"text": "x"})).status_code == 201


async def test_a_licensed_endpoint_answers_the_canonical_402(cloudos):
    host = await cloudos(notes_plugin())
    answer = await host.client.get("/api/jotter/graph")
    assert answer.status_code == 402
    assert await answer.get_json() == {
        "error": "upgrade_required",
        "feature": "orbit_graph",
        "current_plan": "community",
        "required_plan": "pro",
        "message": "The notes graph requires Orbit Pro.",
        "upgrade_url": "/api/billing/upgrade",
    }


async def test_an_event_reaches_its_reader_after_the_commit_and_over_a_restart(cloudos):
    module = notes_plugin()
    host = await cloudos(module)
    await host.client.post("/api/jotter", json={"text": "one"})
    async with asyncio.timeout(5):
        while len(module.seen) < 1:
            await asyncio.sleep(0.01)
    assert module.seen[0].actor.name == "admin"
    assert module.seen[0].data["text"] == "one"
    await host.restart()
    await host.client.post("/api/jotter", json={"text": "two"})
    async with asyncio.timeout(5):
        while len(module.seen) < 2:
            await asyncio.sleep(0.01)
    assert [e.data["text"] for e in module.seen] == ["one", "two"]


async def test_a_failed_write_leaves_neither_change_nor_event(cloudos):
    module = notes_plugin()
    host = await cloudos(module)
    assert (await host.client.post("/api/jotter", json={"text": "fail"})).status_code == 409
    await host.client.post("/api/jotter", json={"text": "fine"})
    async with asyncio.timeout(5):
        while not module.seen:
            await asyncio.sleep(0.01)
    assert [e.data["text"] for e in module.seen] == ["fine"]


async def test_an_operation_is_resumed_after_a_restart(cloudos):
    module = notes_plugin()
    host = await cloudos(module)
    started = await (await host.client.post("/api/jotter/long", json={"text": "x"})).get_json()
    async with asyncio.timeout(5):
        await module.entered.wait()
    await host.restart()
    module.release.set()
    async with asyncio.timeout(5):
        while True:
            operation = await (await host.client.get(f"/api/operations/{started['operation_id']}")).get_json()
            if operation["state"] == "succeeded":
                break
            await asyncio.sleep(0.01)
    assert operation["result"] == {"resumed": True}


async def test_a_cancelled_operation_ends_cancelled(cloudos):
    module = notes_plugin()
    host = await cloudos(module)
    id = (await (await host.client.post("/api/jotter/long", json={"text": "x"})).get_json())["operation_id"]
    async with asyncio.timeout(5):
        await module.entered.wait()
    assert (await host.client.post(f"/api/operations/{id}/cancel")).status_code == 202
    async with asyncio.timeout(5):
        while (await (await host.client.get(f"/api/operations/{id}")).get_json())["state"] != "cancelled":
            await asyncio.sleep(0.01)


@dataclass
class _Case:
    environ: dict
    names: str


@pytest.mark.parametrize(
    "case",
    [
        _Case({"CLOUDOS_HOST__PROT": "1"}, "did you mean 'port'"),
        _Case({"CLOUDOS_HOST__PORT": "many"}, "port"),
    ],
)
def test_a_misspelt_setting_is_an_error_that_names_it(case):
    with pytest.raises(ConfigError, match=case.names):
        load(None, case.environ, {})


async def test_the_models_of_the_host_equal_its_migrations(cloudos):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from cloudos_host.data.models import Base

    host = await cloudos()
    with host.host.db.write_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _only_host})
        assert compare_metadata(context, Base.metadata) == []


def _only_host(name, type_, parents):
    return type_ != "table" or (name.startswith("host_") and not name.endswith("_alembic_version"))
