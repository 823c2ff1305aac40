"""Dispatch of one MCP call: authorized like a request, run as its plugin, errors in MCP's form."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Context, Forbidden, InvalidRequest, NotFound, UpgradeRequired, principal
from cloudos_sdk.capabilities import PermissionCatalogue
from cloudos_sdk.capabilities.mcp import (
    Complete,
    McpCall,
    McpPrompt,
    McpResource,
    McpResult,
    McpTool,
    McpUnsupported,
)
from cloudos_sdk.context import enter_context

from cloudos_memory.mcp_server.registry import RegisteredTool, ToolRegistry, parse

_COMPLETIONS = 100


class ToolDispatch:
    """Runs tools, reads resources, gets prompts and completes arguments."""

    def __init__(self, ctx: Context, catalogue: ToolRegistry) -> None:
        self._ctx = ctx
        self._catalogue = catalogue

    async def tool(self, call: McpCall, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool; its errors become its result. Raises NotFound for an unknown name."""
        tools = self._catalogue.current().tools
        entry = tools.get(name)
        if entry is None:
            near = difflib.get_close_matches(name[:100], tools, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise NotFound("tool", name, message=f"Unknown tool: {name[:100]}{hint}")
        try:
            self._admit(entry)
            _check_text(arguments)
            fitting = parse(entry, arguments)
            enter_context(entry.ctx)
            return _told(await entry.part.run(call, fitting))
        except UpgradeRequired as error:
            return _failed(f"{error.message} This node's plan is {error.extra['current_plan']}.")
        except CloudOSError as error:
            return _failed(error.message)
        except McpUnsupported as error:
            return _failed(str(error))
        except Exception as error:  # noqa: BLE001 - a plugin's code; the client is told no more than that it failed
            self._ctx.log.error("MCP tool failed", tool=name, plugin=entry.ctx.id, error=repr(error))
            return _failed(f"{name} failed on the node; its log says why.")

    async def resource(self, call: McpCall, uri: str) -> dict[str, Any]:
        """Read a resource. Raises CloudOSError."""
        found = self._catalogue.current().resource(uri)
        if found is None:
            raise NotFound("resource", uri, message=f"There is no resource {uri[:200]}.")
        entry, values = found
        self._admit(entry)
        _check_text(values)
        enter_context(entry.ctx)
        body = await entry.part.read(call, values)
        content: dict[str, Any] = {"uri": uri, "mimeType": entry.part.mime_type}
        if isinstance(body, str):
            content["text"] = body
        else:
            content["blob"] = base64.b64encode(body).decode()
        return {"contents": [content]}

    async def prompt(self, call: McpCall, name: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Get a prompt's messages. Raises CloudOSError."""
        entry = self._catalogue.current().prompts.get(name)
        if entry is None:
            raise InvalidRequest(f"Unknown prompt: {name[:100]}")
        self._admit(entry)
        _check_text(arguments)
        known = {argument.name: argument for argument in entry.part.arguments}
        for unknown in set(arguments) - set(known):
            raise InvalidRequest(f"The prompt {name} has no argument {unknown[:100]!r}.")
        for argument in known.values():
            if argument.required and not arguments.get(argument.name):
                raise InvalidRequest(f"The prompt {name} needs the argument {argument.name}.")
        enter_context(entry.ctx)
        return {"description": entry.part.description, "messages": list(await entry.part.get(call, arguments))}

    async def complete(self, call: McpCall, ref: Mapping[str, Any], argument: str, typed: str) -> dict[str, Any]:
        """Complete an argument of a prompt or of a resource template. Raises CloudOSError."""
        current = self._catalogue.current()
        entry: RegisteredTool[McpPrompt] | RegisteredTool[McpResource] | None
        if ref.get("type") == "ref/prompt":
            entry = current.prompts.get(str(ref.get("name")))
        else:
            entry = current.templates.get(str(ref.get("uri"))) or current.resources.get(str(ref.get("uri")))
        if entry is None:
            raise InvalidRequest("There is no such prompt or resource template.")
        self._admit(entry)
        complete = _completion(entry.part, argument)
        enter_context(entry.ctx)
        values = list(await complete(call, typed)) if complete is not None else []
        return {
            "completion": {
                "values": values[:_COMPLETIONS],
                "total": len(values),
                "hasMore": len(values) > _COMPLETIONS,
            }
        }

    def _admit(self, entry: RegisteredTool[McpTool] | RegisteredTool[McpResource] | RegisteredTool[McpPrompt]) -> None:
        """Refuse a key without the scope, an owner without the permission, a plan without the feature."""
        who, part = principal(), entry.part
        if who.scopes is None or part.scope not in who.scopes:
            has = ", ".join(sorted(who.scopes or ())) or "none"
            raise Forbidden(f"This key lacks the scope {part.scope}, which {entry.name} needs; it has {has}.")
        if part.permission is not None:
            declared = self._ctx.use(PermissionCatalogue).permissions().get(part.permission)
            if declared is None or not who.role.includes(declared.role):
                raise Forbidden(f"The owner of this key lacks the permission {part.permission}.")
        if part.feature is not None:
            self._ctx.licence.require(part.feature)


def _completion(part: McpPrompt | McpResource, argument: str) -> Complete | None:
    if isinstance(part, McpResource):
        return part.complete.get(argument)
    return next((a.complete for a in part.arguments if a.name == argument), None)


def _told(result: McpResult) -> dict[str, Any]:
    told: dict[str, Any] = {"content": [dict(block) for block in result.content], "isError": result.is_error}
    if result.structured is not None:
        told["structuredContent"] = result.structured
        if not told["content"]:
            told["content"] = [{"type": "text", "text": orjson.dumps(result.structured).decode()}]
    return told


def _failed(message: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": message}], "isError": True}


def _check_text(given: Any) -> None:
    """Refuse the one character that no database can store in a text."""
    if isinstance(given, str):
        if "\0" in given:
            raise InvalidRequest("The text holds a NUL character.")
    elif isinstance(given, Mapping):
        for key, value in given.items():
            _check_text(key)
            _check_text(value)
    elif isinstance(given, Sequence):
        for item in given:
            _check_text(item)
