"""CORS headers of the MCP server for allowed origins (Fetch standard, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_SENT = (
    b"Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"
)
_READ = b"Mcp-Session-Id, Retry-After, WWW-Authenticate"
_VARY = (b"vary", b"Origin")


async def allow(send: Any, origin: bytes, methods: Iterable[str]) -> None:
    """Answer a preflight: a page of `origin` may send these methods."""
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", ", ".join(methods).encode()),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", b"7200"),
        _VARY,
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def shared(send: Any, origin: bytes) -> Any:
    """Return a `send` whose answer a page of `origin` may read."""

    async def send_shared(message: Any) -> None:
        if message["type"] == "http.response.start":
            more = ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", _READ), _VARY)
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return send_shared
