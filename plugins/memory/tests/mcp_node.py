"""A node with notes and memory behind a real port, its keys, and the official Python client of MCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

ALL = ["read_memory", "write_memory", "delete_memory", "manage_links"]
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bare", "version": "1"},
}


class McpNode:
    """A running host and its address."""

    def __init__(self, host: Any, url: str, serve: Any = None) -> None:
        self.host = host
        self.url = url
        self._serve = serve
        self.plan: Any = None

    async def restarted(self) -> McpNode:
        """Stop the host, start it on the same data, and serve it at another port."""
        await self.host.restart()
        return McpNode(self.host, await self._serve(self.host), self._serve)

    async def make_key(self, *, who: Any = None, **wanted: Any) -> dict[str, Any]:
        """Make a key by the API."""
        body = {"name": "Claude", "client_type": "claude_desktop", "namespace": "work", "scopes": ALL, **wanted}
        answer = await (who or self.host.admin).post("/api/mcp/keys", json=body)
        assert answer.status_code == 201, await answer.get_data(as_text=True)
        return dict(await answer.get_json())

    async def bearer(self, **wanted: Any) -> str:
        """Make a key and return its bearer."""
        return str((await self.make_key(**wanted))["raw"])

    async def sessions(self) -> list[dict[str, Any]]:
        """List the sessions by the API."""
        answer = await self.host.admin.get("/api/mcp/sessions")
        assert answer.status_code == 200
        return list(await answer.get_json())

    @asynccontextmanager
    async def client(
        self, bearer: str, *, mode: str = "legacy", sse: bool = False, **options: Any
    ) -> AsyncIterator[Client]:
        """Connect the official client: `mode` is legacy (handshake) or auto (without a session where it can)."""
        if sse:
            transport = sse_client(f"{self.url}/mcp/sse", headers={"Authorization": f"Bearer {bearer}"})
            async with Client(transport, mode="legacy", **options) as client:
                yield client
            return
        async with self.http(bearer) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, **options) as client:
                yield client

    def http(self, bearer: str | None, **headers: str) -> httpx2.AsyncClient:
        """Return a bare HTTP client."""
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=20)

    async def post(
        self,
        bearer: str | None,
        message: Any = None,
        *,
        path: str = "/mcp",
        content: bytes | None = None,
        **headers: str,
    ) -> httpx2.Response:
        """Send one message, as a client would that does not know how."""
        given = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        async with self.http(bearer) as http:
            if content is not None:
                return await http.post(path, content=content, headers=given)
            return await http.post(path, json=message, headers=given)

    async def open(self, bearer: str, **params: Any) -> str:
        """Initialize a session by hand and return its name."""
        answer = await self.post(bearer, rpc("initialize", {**INITIALIZE, **params}))
        assert answer.status_code == 200, answer.text
        return str(answer.headers["mcp-session-id"])


def rpc(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else {**message, "params": params}


async def eventually(condition: Callable[[], Any], seconds: float = 5) -> Any:
    """Wait until a condition, which may be a coroutine function, holds; return what it gave."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


def data(result: Any) -> Any:
    """Return the data of a tool's result, which went well."""
    assert not result.is_error, result.content[0].text
    return result.structured_content


def failure(result: Any) -> str:
    """Return the sentence of a tool's result, which went wrong."""
    assert result.is_error, result.structured_content
    return str(result.content[0].text)
