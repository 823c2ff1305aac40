"""Every provider of a capability that is installed here passes the contract of that capability."""

import asyncio
import importlib

from cloudos_sdk import capabilities
from cloudos_sdk.capabilities import (
    AppData,
    Apps,
    Authenticator,
    BackupSource,
    BearerAuthenticator,
    ControlPanelLink,
    Embedder,
    McpSource,
    Metrics,
    MetricSource,
    NoteStore,
    OwnProxy,
    PermissionCatalogue,
    PlanSource,
    PluginCatalogue,
    Recall,
    Sessions,
    Users,
)
from cloudos_sdk.testing.contracts import (
    check_app_data,
    check_apps,
    check_authenticator,
    check_backup_source,
    check_control_panel_link,
    check_embedder,
    check_mcp_source,
    check_metric_source,
    check_metrics,
    check_note_store,
    check_own_proxy,
    check_permission_catalogue,
    check_plan_source,
    check_plugin_catalogue,
    check_recall,
    check_sessions,
    check_users,
)
from contract.promises import all_plugins

from cloudos_host.plugins.discovery import discover

CHECKS = {
    AppData: check_app_data,
    Apps: check_apps,
    BackupSource: check_backup_source,
    ControlPanelLink: check_control_panel_link,
    Embedder: check_embedder,
    OwnProxy: check_own_proxy,
    McpSource: check_mcp_source,
    Metrics: check_metrics,
    MetricSource: check_metric_source,
    NoteStore: check_note_store,
    PermissionCatalogue: check_permission_catalogue,
    PlanSource: check_plan_source,
    PluginCatalogue: check_plugin_catalogue,
}
BY_HAND = {Authenticator, BearerAuthenticator, Recall, Sessions, Users}
PROVIDED = [
    (found.id, capability)
    for found in discover()
    for capability in importlib.import_module(found.target).manifest.provides
    if capability in CHECKS
]


def test_every_capability_has_a_check():
    protocols = {getattr(capabilities, name) for name in capabilities.__all__}
    assert {p for p in protocols if getattr(p, "_is_protocol", False)} == {*CHECKS, *BY_HAND}


async def test_every_provider_keeps_the_contract(cloudos):
    host, _ = await all_plugins(cloudos)
    time = asyncio.create_task(go_on(host.clock))
    for plugin, capability in PROVIDED:
        providers = host.ctx(plugin).all(capability)
        assert providers, f"{plugin} says that it provides {capability.__name__}, and does not"
        for provider in providers:
            await CHECKS[capability](provider)
    time.cancel()


async def go_on(clock):
    """Let time pass: a check may wait for what happens next."""
    while True:
        await clock.advance(1)


async def test_the_host_lists_the_permissions_of_all_plugins(cloudos):
    host, _ = await all_plugins(cloudos)
    catalogue = host.ctx("auth").use(PermissionCatalogue)
    await check_permission_catalogue(catalogue)
    declared = {p.name for r in host.host.records for p in r.manifest.permissions}
    assert declared <= set(catalogue.permissions())


async def test_the_host_lists_the_plugins_that_run(cloudos):
    host, _ = await all_plugins(cloudos)
    catalogue = host.ctx("auth").use(PluginCatalogue)
    await check_plugin_catalogue(catalogue)
    assert {plugin.id for plugin in catalogue.running()} == {record.id for record in host.host.records}


async def test_the_sign_in_keeps_the_contract(cloudos):
    host, head = await all_plugins(cloudos)

    async def log_out():
        assert (await host.anonymous.post("/api/auth/logout", headers=head)).status_code == 204

    authenticator = host.ctx("auth").use(Authenticator)
    await check_authenticator(authenticator, authorization=head["Authorization"], revoke=log_out)


async def test_the_sessions_keep_the_contract(cloudos):
    host, head = await all_plugins(cloudos)
    listed = await (await host.anonymous.get("/api/auth/sessions", headers=head)).get_json()

    async def log_out():
        assert (await host.anonymous.post("/api/auth/logout", headers=head)).status_code == 204

    await check_sessions(host.ctx("auth").use(Sessions), session_id=listed[0]["id"], revoke=log_out)


async def test_the_users_keep_the_contract(cloudos):
    host, head = await all_plugins(cloudos)
    account = {"username": "contract", "password": "a long password", "role": "operator"}
    made = await (await host.anonymous.post("/api/users", json=account, headers=head)).get_json()

    async def disable():
        answer = await host.anonymous.put(f"/api/users/{made['id']}", json={"disabled": True}, headers=head)
        assert answer.status_code == 200

    await check_users(host.ctx("auth").use(Users), user_id=made["id"], disable=disable)


async def test_the_recall_keeps_the_contract(cloudos):
    host, _ = await all_plugins(cloudos)
    ctx = host.ctx("memory")
    await check_recall(ctx.use(Recall), store=ctx.use(NoteStore))
