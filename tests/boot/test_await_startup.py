"""A node that starts as it did before answers once what is required is up; the rest comes up beside the requests."""

import asyncio

import pytest
from boot.test_broken_plugins import plugin
from cloudos_sdk import Manifest, Mount, Policy, hookimpl


@pytest.fixture
def slow():
    """Return a plugin that starts when `slow.go` is set."""
    go = asyncio.Event()
    module = plugin("slow", lifespan=go.wait)
    module.go = go
    return module


async def booted_before(cloudos, *plugins):
    """Boot once to the end and stop; return the node, with the slow plugin slow again."""
    slow = next(one for one in plugins if one.__name__ == "slow")
    slow.go.set()
    node = await cloudos(*plugins)
    assert (await node.client.get("/api/slow")).status_code == 200
    await node.stop()
    slow.go.clear()
    return node


async def test_the_host_answers_while_a_plugin_is_on_its_way_up(cloudos, slow):
    node = await booted_before(cloudos, slow)
    await node.start(whole=False)
    rest = asyncio.create_task(node.host.boot_rest())
    assert (await node.anonymous.get("/api/health")).status_code == 200
    assert node.state("slow") == "pending"
    slow.go.set()
    await rest
    assert node.state("slow") == "running"


async def test_a_request_to_a_plugin_on_its_way_up_waits_for_it(cloudos, slow):
    node = await booted_before(cloudos, slow)
    await node.start(whole=False)
    asked = asyncio.create_task(node.client.get("/api/slow"))
    rest = asyncio.create_task(node.host.boot_rest())
    await asyncio.sleep(0.2)
    assert not asked.done(), "it has nothing to answer with yet"
    slow.go.set()
    assert (await asked).status_code == 200
    await rest


async def test_a_request_waits_no_longer_than_its_own_plugin_needs(cloudos, slow):
    node = await booted_before(cloudos, plugin("quick"), slow)
    await node.start(whole=False)
    asked = asyncio.create_task(node.client.get("/api/quick"))
    rest = asyncio.create_task(node.host.boot_rest())
    assert (await asked).status_code == 200
    assert node.state("slow") == "pending"
    slow.go.set()
    await rest


async def test_a_mount_that_is_on_its_way_up_is_waited_for(cloudos, slow):
    async def raw(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"raw"})

    mounted = plugin("mounted", "/api/mounted")
    mounted.manifest = Manifest(title="mounted", prefixes=("/api/mounted", "/raw"))
    mounted.cloudos_mounts = hookimpl(lambda: [Mount("/raw", raw, Policy(access="public"))], specname="cloudos_mounts")
    node = await booted_before(cloudos, slow, mounted)
    await node.start(whole=False)
    asked = asyncio.create_task(node.anonymous.get("/raw/here"))
    slow.go.set()
    await node.host.boot_rest()
    assert await (await asked).get_data() == b"raw"


async def test_the_description_of_the_api_waits_for_all(cloudos, slow):
    node = await booted_before(cloudos, slow)
    await node.start(whole=False)
    asked = asyncio.create_task(node.anonymous.get("/openapi.json"))
    rest = asyncio.create_task(node.host.boot_rest())
    await asyncio.sleep(0.1)
    assert not asked.done()
    slow.go.set()
    assert "/api/slow" in (await (await asked).get_json())["paths"]
    await rest


async def test_a_plugin_that_fails_on_its_way_up_answers_why(cloudos, slow):
    async def fails():
        if fails.now:
            raise RuntimeError("no such luck")

    fails.now = False
    node = await booted_before(cloudos, slow, plugin("bad", lifespan=fails))
    fails.now = True
    await node.start(whole=False)
    asked = asyncio.create_task(node.client.get("/api/bad"))
    slow.go.set()
    await node.host.boot_rest()
    assert (await asked).status_code == 503
    answer = await node.client.get("/api/bad")  # who may know why is known once the sign-in is up too
    assert answer.status_code == 503 and "no such luck" in (await answer.get_json())["message"]


async def test_a_node_with_a_new_plugin_comes_up_whole_before_it_answers(cloudos, slow, tmp_path):
    slow.go.set()
    node = await cloudos(slow)
    await node.stop()
    node = await cloudos(slow, plugin("new"))
    await node.stop()
    boot = tmp_path / "data" / "boot.json"
    boot.write_text(boot.read_text().replace('"new": "', '"other": "'))
    await node.start(whole=False)
    assert (node.state("slow"), node.state("new")) == ("running", "running")
    await node.host.boot_rest()


async def test_who_claims_a_path_of_a_running_plugin_fails_alone(cloudos, slow):
    twin = plugin("twin")
    node = await booted_before(cloudos, slow, twin)
    await node.start(whole=False)
    node.host.loader.load([node.record("slow")])
    node.record("slow").state = type(node.record("slow").state)("running")
    twin.manifest = Manifest(title="twin", prefixes=("/api/slow",))
    slow.go.set()
    await node.host.boot_rest()
    assert node.state("twin") == "failed" and "both own /api/slow" in node.record("twin").reason
    assert node.state("slow") == "running"


async def test_a_stop_in_the_middle_of_the_rise_leaves_nothing_behind(cloudos, slow):
    node = await booted_before(cloudos, slow)
    await node.start(whole=False)
    rest = asyncio.create_task(node.host.boot_rest())
    await asyncio.sleep(0.1)
    rest.cancel()
    await asyncio.gather(rest, return_exceptions=True)
    async with asyncio.timeout(10):
        await node.stop()
    slow.go.set()
    await node.start()
    assert node.state("slow") == "running"
