"""Resources, prompts and completions, and the news of what changed."""

from __future__ import annotations

import asyncio
import json

import pytest
from conformance_parts import test_plugin
from mcp.shared.exceptions import MCPError
from mcp_node import data, eventually
from mcp_types import PromptReference, ResourceTemplateReference

pytestmark = pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed")


def hearing(heard):
    async def on_message(message):
        heard.append((message.method, getattr(message.params, "uri", None)) if hasattr(message, "method") else message)

    return on_message


async def create(client, content, **more):
    return data(await client.call_tool("memory_create", {"content": content, **more}))["memory"]


async def test_there_are_four_resources(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        listed = [r.uri for r in (await client.list_resources()).resources]
        templates = [t.uri_template for t in (await client.list_resource_templates()).resource_templates]
        made = await create(client, "Read me #here", title="A note")

        async def read(uri):
            (content,) = (await client.read_resource(uri)).contents
            return content

        assert listed == ["memory://recent", "memory://tags"]
        assert templates == ["memory://note/{id}", "memory://namespace/{namespace}"]
        assert json.loads((await read("memory://recent")).text)["memories"][0]["id"] == made["id"]
        assert {"name": "here", "count": 1} in json.loads((await read("memory://tags")).text)["tags"]
        note = await read(f"memory://note/{made['id']}")
        assert note.mime_type == "text/markdown" and note.text.startswith("# A note\n\nRead me #here\n\n#")
        assert json.loads((await read("memory://namespace/work")).text)["memories"][0]["id"] == made["id"]
        for uri in ("memory://namespace/home", "memory://note/none", "memory://note/", "note://x"):
            with pytest.raises(MCPError):
                await read(uri)


async def test_a_key_that_does_not_read_reads_no_resource(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer(scopes=["write_memory"])) as client:
        with pytest.raises(MCPError, match="lacks the scope read_memory"):
            await client.read_resource("memory://recent")


async def test_the_prompts_put_what_is_remembered_into_words(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer()) as client:
        made = await create(client, "The blog runs on node-02 #blog", title="Where the blog runs")

        async def said(name, **arguments):
            messages = (await client.get_prompt(name, arguments)).messages
            return "\n".join(message.content.text for message in messages)

        assert made["id"] in await said("recall_context", topic="blog")
        assert "Nothing is remembered" in await said("recall_context", topic="submarines")
        assert "Nothing is remembered" in await said("recall_context", topic="blog", tag="#other")
        saving = await said("save_session", title="Friday", focus="the decisions", tag="session")
        assert all(part in saving for part in ("'Friday'", "the decisions", "#session", "memory_create"))
        assert "[[Where the blog runs]]" in await said("weekly_review")
        for days in ("0", "91", "-1", "seven"):
            with pytest.raises(MCPError, match="days"):
                await said("weekly_review", days=days)
        node.host.clock._passed += 8 * 86400
        assert "Nothing was written" in await said("weekly_review")
        assert "[[Where the blog runs]]" in await said("weekly_review", days="30")


async def test_namespaces_tags_and_ids_are_completed(mcp_node):
    node = await mcp_node()
    async with node.client(await node.bearer(namespaces_read=["wiki"])) as client:
        made = await create(client, "One #alpha #alphabet #beta")

        async def complete(ref, name, value):
            return (await client.complete(ref, {"name": name, "value": value})).completion.values

        prompt = PromptReference(type="ref/prompt", name="recall_context")
        assert await complete(prompt, "namespace", "w") == ["work", "wiki"]
        assert await complete(prompt, "tag", "#al") == ["alpha", "alphabet"]
        assert await complete(prompt, "topic", "x") == []
        space = ResourceTemplateReference(type="ref/resource", uri="memory://namespace/{namespace}")
        assert await complete(space, "namespace", "") == ["work", "wiki", "molly"]
        note = ResourceTemplateReference(type="ref/resource", uri="memory://note/{id}")
        assert await complete(note, "id", "on") == [made["id"]], "by title too"


@pytest.mark.parametrize("sse", [False, True])
async def test_a_client_hears_of_changes_to_what_it_subscribed_to(mcp_node, sse):
    node = await mcp_node()
    bearer, heard = await node.bearer(), []
    async with node.client(bearer, sse=sse, message_handler=hearing(heard)) as client:
        made = await create(client, "Watch me")
        await eventually(lambda: ("notifications/resources/list_changed", None) in heard)
        uri = f"memory://note/{made['id']}"
        await client.session.subscribe_resource(uri)
        await asyncio.sleep(0.2)
        heard.clear()
        async with node.client(bearer) as other:
            await other.call_tool("memory_update", {"id": made["id"], "content": "Changed"})
            await eventually(lambda: ("notifications/resources/updated", uri) in heard)
            assert ("notifications/resources/list_changed", None) not in heard, "the list is the same"
            await client.session.unsubscribe_resource(uri)
            heard.clear()
            await other.call_tool("memory_update", {"id": made["id"], "content": "Again"})
            await asyncio.sleep(0.3)
        assert heard == []


async def test_nobody_hears_of_what_its_key_does_not_read(mcp_node):
    node = await mcp_node()
    heard = []
    async with node.client(await node.bearer(namespace="home"), message_handler=hearing(heard)) as client:
        await client.session.subscribe_resource("memory://recent")
        await client.session.subscribe_resource("memory://namespace/work")
        async with node.client(await node.bearer(namespace="work")) as other:
            await create(other, "None of your business")
        await asyncio.sleep(0.4)
    assert heard == []


async def test_the_revision_without_sessions_listens_too(mcp_node):
    node = await mcp_node()
    bearer, heard = await node.bearer(), []
    stranger, other_heard = await node.bearer(namespace="home"), []
    async with (
        node.client(bearer, mode="auto") as client,
        node.client(stranger, mode="auto") as other,
        client.listen(resources_list_changed=True, resource_subscriptions=["memory://recent"]) as listening,
        other.listen(resources_list_changed=True, resource_subscriptions=["memory://recent"]) as elsewhere,
    ):

        async def hear(stream, into):
            async for event in stream:
                into.append(event)

        tasks = [asyncio.create_task(hear(listening, heard)), asyncio.create_task(hear(elsewhere, other_heard))]
        assert len(await node.sessions()) == 2, "what stays open is a session"
        await create(client, "Hear this")
        await eventually(lambda: len(heard) >= 2)
        assert other_heard == []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(event).__name__ for event in heard} == {"ResourcesListChanged", "ResourceUpdated"}


async def test_a_flood_of_writes_is_few_messages(mcp_node):
    node = await mcp_node()
    heard = []
    async with node.client(await node.bearer(), message_handler=hearing(heard)) as client:
        await client.session.subscribe_resource("memory://recent")
        await asyncio.gather(*(create(client, f"Note {n}") for n in range(40)))
        await eventually(lambda: ("notifications/resources/updated", "memory://recent") in heard)
        await asyncio.sleep(0.3)
    assert len(heard) < 40


async def test_events_of_another_plugin_update_its_resources(mcp_node):
    node = await mcp_node(test_plugin())
    heard = []
    async with node.client(await node.bearer(), message_handler=hearing(heard)) as client:
        await client.session.subscribe_resource("test://watched-resource")
        from cloudos_sdk.events import UserLogin

        log = node.host.host.events
        event = UserLogin(resource="usr_admin", username="root", method="password")
        await node.host.host.db.write(lambda db: log.emit(db, event))
        await eventually(lambda: ("notifications/resources/updated", "test://watched-resource") in heard)
