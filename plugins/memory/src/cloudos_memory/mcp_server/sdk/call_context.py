"""The way back from a call to its client, over the SDK's request context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mcp_types as types
from cloudos_sdk import InvalidRequest
from cloudos_sdk.capabilities.mcp import McpUnsupported
from cloudos_sdk.misfits import sentence_of
from mcp.server.connection import allowed_log_levels
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from cloudos_memory.mcp_server.sessions import McpSession

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_ASKED: dict[str, tuple[type[Any], type[Any], str]] = {
    "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResult, "sampling"),
    "elicitation/create": (types.ElicitRequest, types.ElicitResult, "elicitation"),
    "roots/list": (types.ListRootsRequest, types.ListRootsResult, "roots"),
}


class Call:
    """An `McpCall` of the SDK's request context."""

    def __init__(self, ctx: ServerRequestContext[Any, Any], session: McpSession) -> None:
        self._ctx = ctx
        self._session = session

    @property
    def client(self) -> str:
        """The client's kind."""
        return self._session.key.client

    @property
    def namespace(self) -> str:
        """The namespace of the key."""
        return self._session.key.namespace

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Report progress to a client that asked for it."""
        await self._ctx.session.report_progress(done, total, message)

    async def log(self, level: str, data: Any) -> None:
        """Send a log message of a level that the client wants."""
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no level; there are {', '.join(LEVELS)}")
        if self._ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            if level not in allowed_log_levels(self._ctx.protocol_version, self._ctx.meta):
                return
        elif LEVELS.index(level) < LEVELS.index(self._session.log_level):
            return
        params = types.LoggingMessageNotificationParams.model_validate({"level": level, "data": data})
        await self._ctx.session.send_notification(
            types.LoggingMessageNotification(params=params), related_request_id=self._ctx.request_id
        )

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request to the client and return its answer."""
        if method not in _ASKED:
            raise ValueError(f"{method!r} is nothing that a client is asked; there are {', '.join(_ASKED)}")
        request, result, capability = _ASKED[method]
        declared = self._ctx.session.client_capabilities
        if declared is None or getattr(declared, capability) is None:
            raise McpUnsupported(f"The client does not support {capability}.")
        try:
            typed = request.model_validate({"method": method, "params": dict(params)}, by_name=False)
            related = ServerMessageMetadata(related_request_id=self._ctx.request_id)
            answer = await self._ctx.session.send_request(typed, result, metadata=related)
        except NoBackChannelError:
            raise McpUnsupported(f"This connection carries no {method} to the client.") from None
        except ValidationError as error:
            raise InvalidRequest(f"{method} went wrong: {sentence_of(error.errors()[0])}") from None
        except MCPError as error:
            raise InvalidRequest(f"The client refused {method}: {error.error.message[:300]}") from None
        dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
        return dumped

    async def close_stream(self) -> None:
        """Close the stream that waits for the answer, if the client can resume it."""
        if self._ctx.close_sse_stream is not None:
            await self._ctx.close_sse_stream()
