"""What other plugins add to the MCP server: named by their id, gated as their routes are, gone with them."""

from __future__ import annotations

from cloudos_memory.keys.authenticator import PREFIX
from cloudos_sdk import Conflict, Feature, Manifest, Permission, Role, current
from cloudos_sdk.capabilities import McpParts, McpSource
from cloudos_sdk.testing.contracts import check_mcp_source
from conformance_parts import plugin, resource, static_text, test_plugin, tool
from mcp_node import data, eventually, failure
from pydantic import BaseModel


class Sum(BaseModel):
    """Two numbers."""

    left: int
    right: int = 1


async def add(call, given):
    from cloudos_sdk.capabilities import McpResult

    return McpResult(structured={"sum": given.left + given.right, "by": current().id, "client": call.client})


async def refuse(call, given):
    raise Conflict("busy", "The garage is busy.")


async def crash(call, given):
    raise RuntimeError("secret detail")


def garage(*tools, **manifest):
    module = plugin("my-garage", lambda ctx: McpParts(ctx, tools, (resource("my-garage://door", static_text),)))
    module.manifest = Manifest(title="Garage", provides=(McpSource,), **manifest)
    return module


async def test_parts_are_named_by_their_plugin_and_run_in_its_name(mcp_node):
    node = await mcp_node(garage(tool("add", add, Sum)))
    async with node.client(await node.bearer()) as client:
        names = [t.name for t in (await client.list_tools()).tools]
        assert names[-1] == "my_garage_add" and len(names) == 13
        answer = data(await client.call_tool("my_garage_add", {"left": 2}))
        assert answer == {"sum": 3, "by": "my-garage", "client": "claude-desktop"}
        assert "left" in failure(await client.call_tool("my_garage_add", {"left": "two"}))
        assert (await client.read_resource("my-garage://door")).contents[0].text


async def test_arguments_are_checked_against_a_plain_schema_too(mcp_node):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    node = await mcp_node(garage(tool("count", add, schema)))
    async with node.client(await node.bearer()) as client:
        assert failure(await client.call_tool("my_garage_count", {"n": 0})).startswith("n: ")
        assert "'n' is a required property" in failure(await client.call_tool("my_garage_count", {}))


async def test_what_a_tool_raises_is_told_and_what_breaks_is_not(mcp_node):
    node = await mcp_node(garage(tool("refuse", refuse), tool("crash", crash)))
    async with node.client(await node.bearer()) as client:
        assert failure(await client.call_tool("my_garage_refuse", {})) == "The garage is busy."
        said = failure(await client.call_tool("my_garage_crash", {}))
    assert "secret" not in said and "my_garage_crash failed" in said


async def test_a_part_is_gated_by_scope_permission_and_feature(mcp_node):
    permission = Permission("garage:write", "Open the door", Role.ADMIN)
    feature = Feature("garage_doors", "The garage door", required_plan="business")
    open_door = tool("open", add, Sum, scope="write_memory", permission="garage:write")
    paint = tool("paint", add, Sum, feature="garage_doors")
    node = await mcp_node(garage(open_door, paint, permissions=(permission,), features=(feature,)), plan="pro")
    admin = await node.bearer()
    operator = await node.bearer(who=node.host.operator)
    reader = await node.bearer(scopes=["read_memory"])
    call = ("my_garage_open", {"left": 1})
    async with node.client(admin) as client:
        data(await client.call_tool(*call))
        said = failure(await client.call_tool("my_garage_paint", {"left": 1}))
        assert "The garage door requires Orbit Business" in said and "pro" in said
        node.plan.plan = "business"
        data(await client.call_tool("my_garage_paint", {"left": 1}))
    async with node.client(operator) as client:
        assert "lacks the permission garage:write" in failure(await client.call_tool(*call))
    async with node.client(reader) as client:
        assert "lacks the scope write_memory" in failure(await client.call_tool(*call))


async def test_parts_with_names_that_cannot_be_are_left_out_and_the_others_serve(mcp_node):
    module = plugin(
        "odd",
        lambda ctx: McpParts(
            ctx,
            (tool("Fine Name", add, Sum), tool("fine", add, Sum), tool("fine", add, Sum)),
            (resource("memory://stolen", static_text), resource("odd://own", static_text)),
        ),
    )
    node = await mcp_node(module)
    async with node.client(await node.bearer()) as client:
        assert [t.name for t in (await client.list_tools()).tools if not t.name.startswith("memory")] == ["odd_fine"]
        listed = [r.uri for r in (await client.list_resources()).resources]
    assert listed == ["memory://recent", "memory://tags", "odd://own"]


async def test_a_plugin_that_stops_takes_its_parts_along_and_clients_hear_of_it(mcp_node):
    node = await mcp_node(test_plugin())
    heard = []

    async def on_message(message):
        heard.append(getattr(message, "method", None))

    async with node.client(await node.bearer(), message_handler=on_message) as client:
        assert any(t.name == "test_simple_text" for t in (await client.list_tools()).tools)
        await node.host.host.lifespans.stop(node.host.record("test"))
        await node.host.clock.advance(6)
        await eventually(lambda: "notifications/tools/list_changed" in heard)
        assert len((await client.list_tools()).tools) == 12


async def test_the_sources_here_keep_the_contract(mcp_node):
    node = await mcp_node(test_plugin())
    sources = node.host.ctx("memory").all(McpSource)
    assert {source.ctx.id for source in sources} == {"memory", "test"}
    for source in sources:
        await check_mcp_source(source)
    assert PREFIX == "quaz_"
