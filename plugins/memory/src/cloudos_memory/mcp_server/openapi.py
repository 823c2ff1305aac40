"""The OpenAPI paths of the MCP server's three transports."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_MESSAGE = {
    "type": "object",
    "description": "One JSON-RPC message, see https://modelcontextprotocol.io.",
    "required": ["jsonrpc"],
    "properties": {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "integer", "null"]},
        "method": {"type": "string"},
        "params": {"type": "object"},
        "result": {"type": "object"},
        "error": {"type": "object", "required": ["code", "message"]},
    },
}
_JSON = {"application/json": {"schema": _MESSAGE}}
_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}
_BODY = {"required": True, "content": _JSON}
_SESSION = {"name": "Mcp-Session-Id", "in": "header", "required": False, "schema": {"type": "string"}}
_ERRORS = (400, 403, 404, 405, 406, 408, 413, 415, 421, 429, 503)


def _answers(own: Mapping[int, Mapping[str, Any] | None]) -> dict[int, Any]:
    """Return the answers of a transport: its own, and errors in JSON-RPC or, from the gate, in the contract's shape."""
    problem = {"$ref": "#/components/schemas/Problem"}
    content = {"application/json": {"schema": {"anyOf": [problem, _MESSAGE]}}}
    found: dict[int, Any] = {
        status: {"description": HTTPStatus(status).phrase, "content": content} for status in _ERRORS
    }
    for status, media in own.items():
        found[status] = {"description": HTTPStatus(status).phrase, **({"content": media} if media else {})}
    return found


MCP_PATHS: dict[str, dict[str, Any]] = {
    "/mcp": {
        "post": {
            "summary": "Send one message; a request is answered as JSON or as a stream of events.",
            "parameters": [_SESSION],
            "requestBody": _BODY,
            "responses": _answers({200: {**_JSON, **_STREAM}, 202: None}),
        },
        "get": {
            "summary": "Open the stream of a session, on which the server speaks by itself.",
            "parameters": [_SESSION],
            "responses": _answers({200: _STREAM}),
        },
        "delete": {
            "summary": "End a session.",
            "parameters": [_SESSION],
            "responses": _answers({200: None, 204: None}),
        },
    },
    "/mcp/sse": {
        "get": {"summary": "Open a session of the older transport.", "responses": _answers({200: _STREAM})},
    },
    "/mcp/messages": {
        "post": {
            "summary": "Send one message to a session of the older transport; it is answered on its stream.",
            "parameters": [{"name": "session_id", "in": "query", "required": True, "schema": {"type": "string"}}],
            "requestBody": _BODY,
            "responses": _answers({202: None}),
        },
    },
}
