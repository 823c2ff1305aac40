"""Caddy's handlers of forward authentication."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.caddy.config.visitor_headers import PEER, PROTOCOL, told_node

_ALWAYS = ("Remote-User", "Remote-Groups", "Remote-Name")

SPENT = "X-Cloudos-Spent"
"""On a positive answer: the visitor's `Authorization` was one of this node's, which no app is to see."""

COOKIE, SECURE_COOKIE = "cloudos_route", "__Host-cloudos_route"
STATE_COOKIE, SECURE_STATE_COOKIE = "cloudos_state", "__Host-cloudos_state"
SESSION_PATH = "/.cloudos/session"


def access_handlers(site: Site, gate: str, key: str) -> list[dict[str, Any]]:
    """Return Caddy's handlers of forward authentication against `gate`. Fails closed."""
    roles = {"roles": ",".join(site.limits.allowed_roles)} if site.limits.allowed_roles else {}
    query = urlencode({**roles, "route": site.id})
    told = {name: [f"{{http.reverse_proxy.header.{name}}}"] for name in _ALWAYS}
    hidden = {
        "match": [{"vars": {f"{{http.reverse_proxy.header.{SPENT}}}": ["1"]}}],
        "handle": [{"handler": "headers", "request": {"delete": ["Authorization"]}}],
    }
    ask = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": gate}],
        "rewrite": {"method": "GET", "uri": f"/api/auth/validate?{query}"},
        "headers": {
            "request": {
                "set": {
                    **told_node(key),
                    PEER: ["{http.request.remote.host} {http.request.remote.port}"],
                    PROTOCOL: ["{http.request.proto}"],
                    "X-Forwarded-Method": ["{http.request.method}"],
                    "X-Forwarded-Uri": ["{http.request.uri}"],
                },
                "delete": ["Accept-Encoding", "User-Agent", "Referer"],
            }
        },
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": 64}},
        "handle_response": [
            {"match": {"status_code": [2]}, "routes": [_set(told), _passed_on("Remote-Email"), hidden]}
        ],
    }
    return [ask]


def own_paths(api: str, key: str) -> list[dict[str, Any]]:
    """Return Caddy's routes for `/.cloudos/…`, which every name has before its own paths."""
    hand_over = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": api}],
        "rewrite": {"uri": "/api/proxy/session?{http.request.uri.query}"},
        "headers": {"request": {"set": told_node(key)}},
    }
    return [{"match": [{"path": [SESSION_PATH]}], "handle": [hand_over], "terminal": True}]


def _passed_on(name: str) -> dict[str, Any]:
    """Return the route that copies a header of the gate's answer to the request, if present."""
    answered = f"{{http.reverse_proxy.header.{name}}}"
    return {"match": [{"not": [{"vars": {answered: [""]}}]}], **_set({name: [answered]})}


def _set(headers: dict[str, list[str]]) -> dict[str, Any]:
    return {"handle": [{"handler": "headers", "request": {"set": headers}}]}
