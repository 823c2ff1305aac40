"""Work beside the requests is `ctx.tasks.start`; a bare task is what ends with one request, and each says why."""

import ast

import pytest
from architecture.test_imports import ALL, HOST, SDK

ENDS_BY_ITSELF = {
    "cloudos_host/http/openapi_cache.py": "the document that requests wait for",
    "cloudos_host/http/hypercorn_fast_path.py": "one connection",
    "cloudos_host/plugins/lifespans.py": "one plugin: its lifespan is tried again there",
    "cloudos_host/http/open_responses.py": "one look, in which nothing is raised",
    "cloudos_host/data/operations.py": "one operation, whose end is stored surely",
    "cloudos_host/cli/server.py": "the rest of one start; where it fails the host ends",
    "cloudos_host/http/sse.py": "one stream, which outlives an outage",
    "cloudos_host/tasks.py": "what begins the others again",
    "sdk/src/cloudos_sdk/completion.py": "one piece of work whose end is awaited",
    "sdk/src/cloudos_sdk/testing/fixtures.py": "one run of a test",
    "plugins/alerts/src/cloudos_alerts/notify/sender_processes.py": "one process, and the end of one",
    "plugins/alerts/src/cloudos_alerts/notify/outbox.py": "one channel's turn, in which nothing is raised, and waits",
    "plugins/apps/src/cloudos_apps/monitoring/metrics.py": "one question",
    "plugins/apps/src/cloudos_apps/monitoring/logs.py": "one answer",
    "plugins/apps/src/cloudos_apps/lifecycle/service.py": "one request that goes through without its client",
    "plugins/apps/src/cloudos_apps/monitoring/stats.py": "one count, which whoever asks next begins again",
    "plugins/memory/src/cloudos_memory/keys/authenticator.py": "one request",
    "plugins/memory/src/cloudos_memory/mcp_server/notifications.py": "one message to a client",
    "plugins/memory/src/cloudos_memory/mcp_server/app.py": "one load that requests wait for; the next begins it again",
    "plugins/memory/src/cloudos_memory/search/indexing/worker.py": "waits, and one part whose end is awaited",
    "plugins/memory/src/cloudos_memory/search/query_embedder.py": "one query",
    "plugins/memory/src/cloudos_memory/mcp_server/sessions.py": "the end of one session",
    "plugins/memory/src/cloudos_memory/mcp_server/asgi.py": "one stream",
    "plugins/notes/src/cloudos_notes/storage/renames.py": "one request that goes through without its client",
    "plugins/proxy/src/cloudos_proxy/apply/applier.py": "one request that goes through without its client",
    "plugins/proxy/src/cloudos_proxy/caddy/runner.py": "one load",
    "plugins/proxy/src/cloudos_proxy/caddy/reload_watch.py": "one load",
    "plugins/proxy/src/cloudos_proxy/routes/upstream_names.py": "one look-up",
    "plugins/system/src/cloudos_system/series/history.py": "one answer that requests wait for",
    "plugins/system/src/cloudos_system/series/sampler.py": "one question, whose answer is awaited",
}


def _makes_tasks(module):
    calls = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr == "create_task" for call in calls)


@pytest.mark.parametrize("module", [*HOST, *SDK, *ALL], ids=lambda module: module.place)
def test_no_task_runs_on_its_own_for_longer_than_a_request(module):
    assert _makes_tasks(module) == (module.place in ENDS_BY_ITSELF), (
        f"{module.place}: use ctx.tasks.start, which begins again and counts into health; or say here when it ends"
    )
