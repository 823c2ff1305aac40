"""Caddy's handlers of route limits: addresses, basic auth, body size and rate."""

from __future__ import annotations

from typing import Any

from cloudos_proxy.caddy.config.site import RouteLimits
from cloudos_proxy.caddy.config.visitor_headers import SHARE


def limit_handlers(limits: RouteLimits, route_id: str) -> list[dict[str, Any]]:
    """Return the handlers of a route's limits, cheapest first."""
    handlers: list[dict[str, Any]] = []
    if limits.ip_allow:
        handlers.append(_only_from(limits.ip_allow))
    if limits.rate_limit is not None:
        requests, seconds = limits.rate_limit
        zone = {"key": SHARE, "window": f"{seconds}s", "max_events": requests}
        handlers.append({"handler": "rate_limit", "rate_limits": {route_id: zone}})  # zones of one name share counts
    if limits.max_body_mb is not None:
        handlers.append({"handler": "request_body", "max_size": limits.max_body_mb * 1024 * 1024})
    if limits.basic_auth:
        accounts = [{"username": name, "password": hash} for name, hash in limits.basic_auth]
        provider = {"accounts": accounts, "hash": {"algorithm": "bcrypt"}, "hash_cache": {}}
        handlers.append({"handler": "authentication", "providers": {"http_basic": provider}})
    return handlers


def _only_from(networks: tuple[str, ...]) -> dict[str, Any]:
    refusal = {"handler": "static_response", "status_code": 403, "body": "You may not come here from your address.\n"}
    route = {
        "match": [{"not": [{"client_ip": {"ranges": list(networks)}}]}],
        "handle": [refusal],
        "terminal": True,
    }
    return {"handler": "subroute", "routes": [route]}
