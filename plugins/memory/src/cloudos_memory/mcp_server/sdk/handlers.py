"""The SDK's server, with the catalogue behind every method of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from cloudos_sdk import CloudOSError, InvalidRequest, NotFound
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from cloudos_memory.mcp_server.dispatch import ToolDispatch
from cloudos_memory.mcp_server.registry import ToolRegistry
from cloudos_memory.mcp_server.sdk.call_context import Call
from cloudos_memory.mcp_server.sdk.subscriptions import SessionBus
from cloudos_memory.mcp_server.sessions import in_hand

Request = ServerRequestContext[Any, Any]
McpResponse = Awaitable[HandlerResult]

TITLE = "Cloud OS Memory"
INSTRUCTIONS = """\
Durable memory of the person you work for, shared with the notes they write themselves.
Search before you answer from memory and before you create; update a memory rather than write it twice.
Write Markdown; [[Title]] links to another memory and #tag tags it. Each key writes to one namespace.
"""
_LISTS: tuple[CacheableMethod, ...] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
_CACHE = dict.fromkeys(_LISTS, CacheHint(ttl_ms=0, scope="private"))  # each key sees its own, and is told of changes
_MOST_SUBSCRIPTIONS = 500
RESOURCE_NOT_FOUND = -32002
_PAGE = 200


class MemoryServer(Server[Any]):
    """The SDK's server; it says in the handshake that its lists change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """Return the answer to `initialize`."""
        changes = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(changes, experimental_capabilities, extensions)


class Protocol:
    """The handlers of the protocol's methods."""

    def __init__(self, catalogue: ToolRegistry, calls: ToolDispatch, version: str) -> None:
        self._catalogue = catalogue
        self._calls = calls
        self.bus = SessionBus()
        self.server = MemoryServer(
            "cloudos-memory", version=version, title=TITLE, instructions=INSTRUCTIONS, cache_hints=_CACHE
        )
        self.server.middleware = [self._meet]
        self._add("tools/list", types.PaginatedRequestParams, self._list_tools)
        self._add("tools/call", types.CallToolRequestParams, self._call_tool)
        self._add("resources/list", types.PaginatedRequestParams, self._list_resources)
        self._add("resources/templates/list", types.PaginatedRequestParams, self._list_templates)
        self._add("resources/read", types.ReadResourceRequestParams, self._read_resource)
        self._add("resources/subscribe", types.SubscribeRequestParams, self._subscribe)
        self._add("resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe)
        self._add("prompts/list", types.PaginatedRequestParams, self._list_prompts)
        self._add("prompts/get", types.GetPromptRequestParams, self._get_prompt)
        self._add("completion/complete", types.CompleteRequestParams, self._complete)
        self._add("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        self._add("subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(self.bus))

    def _add(self, method: str, params: type[Any], handler: Callable[[Request, Any], McpResponse]) -> None:
        async def handle(ctx: Request, given: Any) -> HandlerResult:
            result = await handler(ctx, given)
            if isinstance(result, dict) and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
                return {"resultType": "complete", **result}
            return result

        self.server.add_request_handler(method, params, handle)

    async def _meet(self, ctx: Request, call_next: Callable[[Request], McpResponse]) -> HandlerResult:
        """Keep how to reach the client of its own accord; tell our errors in the protocol's codes."""
        session = in_hand()
        if session.peer is None and session.wire_id is not None:
            session.peer = ctx.session
        try:
            return await call_next(ctx)
        except NotFound as error:
            is_resource = ctx.method.startswith("resources/")
            code = RESOURCE_NOT_FOUND if is_resource else types.INVALID_PARAMS
            raise MCPError(code=code, message=error.message, data=None) from None
        except CloudOSError as error:
            raise MCPError(code=types.INVALID_PARAMS, message=error.message, data={"error": error.code}) from None

    async def _list_tools(self, ctx: Request, params: types.PaginatedRequestParams) -> HandlerResult:
        self._catalogue.current().refresh()
        return _page("tools", [entry.listed for entry in self._catalogue.tools.values()], params.cursor)

    async def _call_tool(self, ctx: Request, params: types.CallToolRequestParams) -> HandlerResult:
        return await self._calls.tool(Call(ctx, in_hand()), params.name, params.arguments or {})

    async def _list_resources(self, ctx: Request, params: types.PaginatedRequestParams) -> HandlerResult:
        self._catalogue.current().refresh()
        return _page("resources", [entry.listed for entry in self._catalogue.resources.values()], params.cursor)

    async def _list_templates(self, ctx: Request, params: types.PaginatedRequestParams) -> HandlerResult:
        self._catalogue.current().refresh()
        listed = [entry.listed for entry in self._catalogue.templates.values()]
        return _page("resourceTemplates", listed, params.cursor)

    async def _read_resource(self, ctx: Request, params: types.ReadResourceRequestParams) -> HandlerResult:
        return await self._calls.resource(Call(ctx, in_hand()), str(params.uri))

    async def _subscribe(self, ctx: Request, params: types.SubscribeRequestParams) -> HandlerResult:
        uri, session = str(params.uri), in_hand()
        if self._catalogue.current().resource(uri) is None:
            raise NotFound("resource", uri, message=f"There is no resource {uri[:200]}.")
        if len(session.subscriptions) >= _MOST_SUBSCRIPTIONS:
            raise InvalidRequest(f"A session may subscribe to {_MOST_SUBSCRIPTIONS} resources.")
        session.subscriptions.add(uri)
        return {}

    async def _unsubscribe(self, ctx: Request, params: types.UnsubscribeRequestParams) -> HandlerResult:
        in_hand().subscriptions.discard(str(params.uri))
        return {}

    async def _list_prompts(self, ctx: Request, params: types.PaginatedRequestParams) -> HandlerResult:
        self._catalogue.current().refresh()
        return _page("prompts", [entry.listed for entry in self._catalogue.prompts.values()], params.cursor)

    async def _get_prompt(self, ctx: Request, params: types.GetPromptRequestParams) -> HandlerResult:
        return await self._calls.prompt(Call(ctx, in_hand()), params.name, params.arguments or {})

    async def _complete(self, ctx: Request, params: types.CompleteRequestParams) -> HandlerResult:
        ref = params.ref.model_dump(mode="json")
        return await self._calls.complete(Call(ctx, in_hand()), ref, params.argument.name, params.argument.value)

    async def _set_level(self, ctx: Request, params: types.SetLevelRequestParams) -> HandlerResult:
        in_hand().log_level = params.level
        return {}


def _page(member: str, listed: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    """Return one page of a list; the cursor is the next offset."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 9):
        raise InvalidRequest("This cursor is not one of ours.")
    start = int(cursor or 0)
    page: dict[str, Any] = {member: listed[start : start + _PAGE]}
    if start + _PAGE < len(listed):
        page["nextCursor"] = str(start + _PAGE)
    return page
