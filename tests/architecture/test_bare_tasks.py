"""Work beside the requests is `ctx.tasks.start`; a bare task is what ends with one request, and each says why."""

import ast

import pytest
from architecture.test_imports import ALL, HOST, SDK

ENDS_BY_ITSELF = {
    "cloudos_host/description.py": "the document that requests wait for",
    "cloudos_host/lean_tcp.py": "one connection",
    "cloudos_host/lifespans.py": "one plugin: its lifespan is tried again there",
    "cloudos_host/open_answers.py": "one look, in which nothing is raised",
    "cloudos_host/operations.py": "one operation, whose end is stored surely",
    "cloudos_host/serving.py": "the rest of one start; where it fails the host ends",
    "cloudos_host/sse.py": "one stream, which outlives an outage",
    "cloudos_host/tasks.py": "what begins the others again",
    "sdk/src/cloudos_sdk/completion.py": "one piece of work whose end is awaited",
    "sdk/src/cloudos_sdk/testing/fixtures.py": "one run of a test",
    "plugins/alerts/src/cloudos_alerts/couriers.py": "one process, and the end of one",
    "plugins/alerts/src/cloudos_alerts/outbox.py": "one channel's turn, in which nothing is raised, and waits",
    "plugins/apps/src/cloudos_apps/metrics.py": "one question",
    "plugins/apps/src/cloudos_apps/observing.py": "one answer",
    "plugins/apps/src/cloudos_apps/service.py": "one request that goes through without its client",
    "plugins/apps/src/cloudos_apps/usage.py": "one count, which whoever asks next begins again",
    "plugins/memory/src/cloudos_memory/bearers.py": "one request",
    "plugins/memory/src/cloudos_memory/changes.py": "one message to a client",
    "plugins/memory/src/cloudos_memory/front.py": "one load that requests wait for; the next begins it again",
    "plugins/memory/src/cloudos_memory/indexer.py": "waits, and one part whose end is awaited",
    "plugins/memory/src/cloudos_memory/queries.py": "one query",
    "plugins/memory/src/cloudos_memory/sessions.py": "the end of one session",
    "plugins/memory/src/cloudos_memory/wire.py": "one stream",
    "plugins/notes/src/cloudos_notes/renames.py": "one request that goes through without its client",
    "plugins/proxy/src/cloudos_proxy/apply.py": "one request that goes through without its client",
    "plugins/proxy/src/cloudos_proxy/caddy_runner.py": "one load",
    "plugins/proxy/src/cloudos_proxy/taking_over.py": "one load",
    "plugins/proxy/src/cloudos_proxy/upstream_names.py": "one look-up",
    "plugins/system/src/cloudos_system/history.py": "one answer that requests wait for",
    "plugins/system/src/cloudos_system/sampler.py": "one question, whose answer is awaited",
}


def _makes_tasks(module):
    calls = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr == "create_task" for call in calls)


@pytest.mark.parametrize("module", [*HOST, *SDK, *ALL], ids=lambda module: module.place)
def test_no_task_runs_on_its_own_for_longer_than_a_request(module):
    assert _makes_tasks(module) == (module.place in ENDS_BY_ITSELF), (
        f"{module.place}: use ctx.tasks.start, which begins again and counts into health; or say here when it ends"
    )
