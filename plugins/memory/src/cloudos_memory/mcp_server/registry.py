"""Everything the MCP server offers now: the parts of all plugins, by the names under which they are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from cloudos_sdk import Context, InvalidRequest
from cloudos_sdk.capabilities.mcp import McpPrompt, McpResource, McpSource, McpTool
from cloudos_sdk.misfits import place_of, sentence_of
from pydantic import BaseModel, ValidationError

P = TypeVar("P", McpTool, McpResource, McpPrompt)
_MOST_VALIDATORS = 1000
_VALIDATORS: dict[int, Any] = {}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")


@dataclass(frozen=True, slots=True)
class RegisteredTool(Generic[P]):
    """One part: whose it is, the name under which it is known, and how it is listed."""

    ctx: Context
    name: str
    part: P
    listed: dict[str, Any]
    pattern: re.Pattern[str] | None = None

    def values(self, uri: str) -> dict[str, str] | None:
        """Return the values of a URI template in `uri`, or None if it does not match."""
        match = self.pattern.fullmatch(uri) if self.pattern is not None else None
        return None if match is None else {name: unquote(value) for name, value in match.groupdict().items()}


class ToolRegistry:
    """The MCP parts of running plugins. Rebuilt when a plugin starts or stops, and at each listing."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sources: tuple[McpSource, ...] | None = None
        self.tools: dict[str, RegisteredTool[McpTool]] = {}
        self.resources: dict[str, RegisteredTool[McpResource]] = {}
        self.templates: dict[str, RegisteredTool[McpResource]] = {}
        self.prompts: dict[str, RegisteredTool[McpPrompt]] = {}

    @property
    def made(self) -> bool:
        """Whether anybody asked for it yet."""
        return self._sources is not None

    def current(self) -> ToolRegistry:
        """Return it as it is now."""
        sources = tuple(self._ctx.all(McpSource))
        if sources != self._sources:
            self._sources = sources
            self.refresh()
        return self

    def refresh(self) -> set[str]:
        """Read all parts again; return which lists changed: tools, resources, prompts."""
        before = self._listings()
        self.tools, self.resources, self.templates, self.prompts = {}, {}, {}, {}
        own_first = sorted(self._ctx.all(McpSource), key=lambda source: source.ctx.id != self._ctx.id)
        for source in own_first:
            self._take(source)
        after = self._listings()
        return {kind for kind, listing in after.items() if listing != before[kind]}

    def resource(self, uri: str) -> tuple[RegisteredTool[McpResource], dict[str, str]] | None:
        """Return the resource or template that answers for a URI, with the template's values."""
        if (entry := self.resources.get(uri)) is not None:
            return entry, {}
        for entry in self.templates.values():
            values = entry.values(uri)
            if values is not None:
                return entry, values
        return None

    def _listings(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "tools": [entry.listed for entry in self.tools.values()],
            "resources": [entry.listed for entry in (*self.resources.values(), *self.templates.values())],
            "prompts": [entry.listed for entry in self.prompts.values()],
        }

    def _take(self, source: McpSource) -> None:
        ctx = source.ctx
        prefix = ctx.id.replace("-", "_")
        for tool in source.tools():
            self._put(self.tools, ctx, f"{prefix}_{tool.name}", tool.name, tool, _tool)
        for prompt in source.prompts():
            # the three of this plugin have the names of the contract
            name = prompt.name if ctx.id == self._ctx.id else f"{prefix}_{prompt.name}"
            self._put(self.prompts, ctx, name, prompt.name, prompt, _prompt)
        for resource in source.resources():
            if not resource.uri.startswith(f"{ctx.id.replace('_', '-')}://"):
                self._ctx.log.error("MCP resource left out: not below its plugin's scheme", uri=resource.uri)
                continue
            among = self.templates if "{" in resource.uri else self.resources
            self._put(among, ctx, resource.uri, resource.name, resource, _resource)

    def _put(
        self, among: dict[str, RegisteredTool[P]], ctx: Context, name: str, given: str, part: P, listed: Any
    ) -> None:
        if not _NAME.fullmatch(given) or name in among:
            self._ctx.log.error("MCP part left out: its name is taken or is none", plugin=ctx.id, name=name)
            return
        pattern = _pattern(name) if isinstance(part, McpResource) and "{" in name else None
        among[name] = RegisteredTool(ctx, name, part, listed(name, part), pattern)


def parse(entry: RegisteredTool[McpTool], given: Mapping[str, Any]) -> Any:
    """Return validated arguments. Raises InvalidRequest naming the invalid ones."""
    shape = entry.part.arguments
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        required = {name for name, field in shape.model_fields.items() if field.is_required()}
        try:  # clients send null for what their model leaves out
            return shape.model_validate({n: v for n, v in given.items() if v is not None or n in required})
        except ValidationError as error:
            told = [f"{place_of(e) or 'arguments'}: {sentence_of(e)}" for e in error.errors()[:5]]
            raise InvalidRequest("; ".join(told)) from None
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # no stubs among our tools

    wrong = best_match(_validator(shape).iter_errors(dict(given)))
    if wrong is not None:
        raise InvalidRequest(f"{'.'.join(map(str, wrong.absolute_path)) or 'arguments'}: {wrong.message[:300]}")
    return given


def _validator(schema: Mapping[str, Any]) -> Any:
    """Return the cached validator of a schema; it keeps a reference to the schema, so that its id stays unique."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    found = _VALIDATORS.get(id(schema))
    if found is None:
        if len(_VALIDATORS) >= _MOST_VALIDATORS:
            _VALIDATORS.clear()
        found = _VALIDATORS[id(schema)] = Draft202012Validator(schema)
    return found


def expand(template: str, values: Mapping[str, str]) -> str:
    """Return the URI of a template's values (RFC 6570, simple expansion)."""
    return re.sub(r"\{(\w+)\}", lambda match: quote(values[match[1]], safe=""), template)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts)))


def _schema(shape: type[BaseModel] | Mapping[str, Any]) -> dict[str, Any]:
    return _schema_of(shape) if isinstance(shape, type) else dict(shape)


@lru_cache(512)
def _schema_of(shape: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model, made once: all of them take 30 ms, and the catalogue is read every few seconds."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape.model_json_schema()}


def _tool(name: str, tool: McpTool) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": _schema(tool.arguments),
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.read_only,
            "destructiveHint": tool.destructive,
            "idempotentHint": tool.idempotent,
            "openWorldHint": tool.open_world,
        },
    }
    if tool.result is not None:
        listed["outputSchema"] = _schema(tool.result)
    return listed


def _resource(uri: str, resource: McpResource) -> dict[str, Any]:
    return {
        "uriTemplate" if "{" in uri else "uri": uri,
        "name": resource.name,
        "title": resource.title,
        "description": resource.description,
        "mimeType": resource.mime_type,
    }


def _prompt(name: str, prompt: McpPrompt) -> dict[str, Any]:
    return {
        "name": name,
        "title": prompt.title,
        "description": prompt.description,
        "arguments": [{"name": a.name, "description": a.description, "required": a.required} for a in prompt.arguments],
    }
