"""The handlers that stand before a route which asks for a sign-in."""

from __future__ import annotations

from typing import Any

from cloudos_proxy.sites import Site


def access_handlers(site: Site, api: str) -> list[dict[str, Any]]:
    """Return Caddy's handlers that let in who may; `api` is host:port of this node's API."""
    return [{"handler": "static_response", "status_code": 503}]


def own_paths(api: str) -> list[dict[str, Any]]:
    """Return Caddy's routes for `/.cloudos/…`, which every name has before its own paths."""
    return []
