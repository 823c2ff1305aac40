"""Contract check of plugins that add to the MCP server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cloudos_sdk.capabilities.mcp import MCP_SCOPES, McpPrompt, McpResource, McpSource, McpTool

_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


async def check_mcp_source(source: McpSource) -> None:
    """Check names, schemas and scopes of a source, and that two reads give the same."""
    scheme = source.ctx.id.replace("_", "-") + "://"
    for kind, parts in (("tool", source.tools()), ("resource", source.resources()), ("prompt", source.prompts())):
        names = [part.name for part in parts]
        assert len(set(names)) == len(names), f"two {kind}s have one name: {names}"
        for part in parts:
            assert _NAME.fullmatch(part.name), f"{part.name!r} is no snake_case name"
            assert part.title and part.description, f"{kind} {part.name} says not what it is"
            assert part.scope in MCP_SCOPES, f"{part.scope!r} of {part.name} is no scope of an MCP key"
    assert [t.name for t in source.tools()] == [t.name for t in source.tools()], "the tools change from look to look"
    for tool in source.tools():
        _check_tool(tool)
    for resource in source.resources():
        _check_resource(resource, scheme)
    for prompt in source.prompts():
        _check_prompt(prompt)


def _check_tool(tool: McpTool) -> None:
    assert schema_of(tool.arguments).get("type") == "object", f"the arguments of {tool.name} are no object"
    if tool.result is not None:
        assert schema_of(tool.result).get("type") == "object", f"the result of {tool.name} is no object"
    assert not (tool.read_only and tool.destructive), f"{tool.name} only reads, and destroys"


def _check_resource(resource: McpResource, scheme: str) -> None:
    assert resource.uri.startswith(scheme), f"{resource.uri} does not begin with {scheme}"
    assert resource.uri != scheme, f"{resource.uri} names nothing"
    assert "/" in resource.mime_type, f"{resource.mime_type!r} is no media type"
    values = set(re.findall(r"\{(\w+)\}", resource.uri))
    assert resource.uri.count("{") == len(values), f"{resource.uri} is no simple template"
    assert set(resource.complete) <= values, f"{resource.uri} completes values that it has not"


def _check_prompt(prompt: McpPrompt) -> None:
    names = [argument.name for argument in prompt.arguments]
    assert len(set(names)) == len(names), f"two arguments of {prompt.name} have one name"
    assert all(a.name and a.description for a in prompt.arguments), f"an argument of {prompt.name} says not what it is"


def schema_of(shape: type[BaseModel] | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of a tool's input or output."""
    return shape.model_json_schema() if isinstance(shape, type) else shape
