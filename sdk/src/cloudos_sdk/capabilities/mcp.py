"""What plugins add to the MCP server: tools, resources and prompts, named by plugin id.

A plugin provides an `McpSource`. Its tool `restart` is called `<id>_restart`, its prompt `report` `<id>_report`, its
resources begin with `<id>://`. All are data and coroutines: nothing here needs the MCP library.

Each call is checked as a route is: the plugin runs, the key has the scope, its owner the permission, the plan the
feature. What a tool raises as a `CloudOSError` its caller reads as a tool error; anything else is logged, not told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from cloudos_sdk.context import Context

MCP_SCOPES = ("read_memory", "write_memory", "delete_memory", "manage_links")
"""The scopes that an MCP key may have; the whole list."""


class McpUnsupported(Exception):
    """The client cannot be asked this: it did not declare it, or its connection carries no requests."""


class McpCall(Protocol):
    """The call in hand, and the way back to the client that made it. The caller is `cloudos_sdk.principal()`."""

    @property
    def client(self) -> str:
        """The client's kind, kebab-case, as its key says: `claude-desktop`."""
        ...

    @property
    def namespace(self) -> str:
        """The namespace of its key."""
        ...

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report progress; does nothing if the client did not ask for it."""
        ...

    async def log(self, level: str, data: Any) -> None:
        """Send the client a log message, if it wants those of this level (RFC 5424 names)."""
        ...

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send the client a request, such as `elicitation/create`, and return its result. Raises McpUnsupported."""
        ...

    async def close_stream(self) -> None:
        """Close the connection that waits for this answer; a client that supports it reconnects to fetch the answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class McpResult:
    """The result of a tool: MCP content blocks, and the same as structured data.

    With `structured` and no `content`, its JSON is the text beside it.
    """

    content: Sequence[Mapping[str, Any]] = ()
    structured: Mapping[str, Any] | None = None
    is_error: bool = False

    @classmethod
    def text(cls, text: str) -> McpResult:
        """Return an answer of one text."""
        return cls(content=({"type": "text", "text": text},))


@dataclass(frozen=True, kw_only=True)
class McpTool:
    """A tool. `arguments` and `result` are models, or JSON Schemas (2020-12) of an object.

    `run(call, arguments)` gets an instance of the model, or a mapping that fits the schema. `scope` is that of the
    key; `permission` one of the plugin's, which the key's owner must have; `feature` one that the plan must include.
    """

    name: str
    title: str
    description: str
    arguments: type[BaseModel] | Mapping[str, Any]
    run: Callable[[McpCall, Any], Awaitable[McpResult]]
    result: type[BaseModel] | Mapping[str, Any] | None = None
    scope: str = "write_memory"
    permission: str | None = None
    feature: str | None = None
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False


Complete = Callable[[McpCall, str], Awaitable[Sequence[str]]]
"""Returns values that begin with what was typed, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class McpResource:
    """A resource below `<id>://`; with `{name}` in its `uri` a template (RFC 6570, simple expansion).

    `read(call, values)` returns its text or bytes; raise `NotFound` where there is none. An event of `events` means
    that it changed: who subscribed to it is told, for a template when the event's resource is among its values.
    """

    uri: str
    name: str
    title: str
    description: str
    read: Callable[[McpCall, Mapping[str, str]], Awaitable[str | bytes]]
    mime_type: str = "application/json"
    scope: str = "read_memory"
    permission: str | None = None
    feature: str | None = None
    events: tuple[str, ...] = ()
    complete: Mapping[str, Complete] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class McpArgument:
    """An argument of a prompt; MCP gives all of them as texts."""

    name: str
    description: str
    required: bool = False
    complete: Complete | None = None


@dataclass(frozen=True, kw_only=True)
class McpPrompt:
    """A prompt: `get(call, arguments)` returns messages as MCP writes them in JSON, `{"role", "content"}`."""

    name: str
    title: str
    description: str
    get: Callable[[McpCall, Mapping[str, str]], Awaitable[Sequence[Mapping[str, Any]]]]
    arguments: tuple[McpArgument, ...] = ()
    scope: str = "read_memory"
    permission: str | None = None
    feature: str | None = None


class McpSource(Protocol):
    """The tools, resources and prompts of one plugin. Read at each listing: those of a stopped plugin disappear."""

    @property
    def ctx(self) -> Context:
        """The plugin's context: under its id its part is known, in its name the calls run."""
        ...

    def tools(self) -> Sequence[McpTool]:
        """Return the tools."""
        ...

    def resources(self) -> Sequence[McpResource]:
        """Return the resources and templates."""
        ...

    def prompts(self) -> Sequence[McpPrompt]:
        """Return the prompts."""
        ...


@dataclass(frozen=True)
class McpParts:
    """An `McpSource` whose parts stay as they are: `ctx.provide(McpSource, McpParts(ctx, tools=(RESTART,)))`."""

    ctx: Context
    _tools: Sequence[McpTool] = ()
    _resources: Sequence[McpResource] = ()
    _prompts: Sequence[McpPrompt] = ()

    def tools(self) -> Sequence[McpTool]:
        """Return the tools."""
        return self._tools

    def resources(self) -> Sequence[McpResource]:
        """Return the resources and templates."""
        return self._resources

    def prompts(self) -> Sequence[McpPrompt]:
        """Return the prompts."""
        return self._prompts
