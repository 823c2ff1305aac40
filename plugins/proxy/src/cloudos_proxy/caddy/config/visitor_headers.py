"""Strips request headers by which a visitor could claim to be a proxy or a user.

Caddy takes them off every request before anything else looks at it, in each spelling that an app of CGI's kind takes
for the same name, and says itself what an upstream is to know.
"""

from __future__ import annotations

from itertools import product
from typing import Any

KEY, VISITOR, PEER, PROTOCOL = "X-Cloudos-Proxy", "X-Cloudos-Visitor", "X-Cloudos-Peer", "X-Cloudos-Protocol"
"""What Caddy tells the node: that it is the node's own, the visitor's address, and the connection to the visitor with
its protocol, such as HTTP/2.0."""

CLIENT = "{http.vars.client_ip}"
"""The visitor's address, as Caddy finds it: that of the connection, or what a server that it trusts says."""
SHARE = "{http.vars.share}"
"""What it counts as in a rate limit: an IPv6 /64 is one visitor. Behind another server, where Caddy has no word for it,
each address is one."""

_WHOLE = ("X-Real-IP", "Forwarded", "X-Auth-Email", "X-Auth-Groups", "X-Auth-Name", "X-User-Email", "X-ID-Token")
# the family of those by which other gates tell an app who somebody is, whatever gate the app was set up for
_IDENTITIES = (
    "Remote", "X-Remote", "X-WebAuth", "X-Auth-Request", "X-Auth-User", "X-Authentik", "X-Authelia", "X-Authenticated",
    "X-Pomerium", "X-Vouch", "X-Goog-Authenticated", "X-Ms-Client-Principal", "X-MS-Token", "Cf-Access", "X-Consumer",
    "X-SSL-Client", "SSL-Client", "X-Client-Cert", "X-Amzn-Oidc", "Tailscale-User", "X-Auth-Roles", "X-Auth-Subject",
)  # fmt: skip
_BEGINNINGS = ("X-Forwarded", "X-Original", "X-Rewrite", "X-Cloudos", *_IDENTITIES)
_SWITCH = r"(?i)(?:^|,)\s*upgrade\s*(?:,|$)"
_WEBSOCKET = {"header_regexp": {"Upgrade": {"pattern": r"(?i)^\s*websocket\s*$"}, "Connection": {"pattern": _SWITCH}}}


MISDIRECTED = {"handler": "static_response", "status_code": 421}


def _spellings(name: str) -> list[str]:
    first, *others = name.split("-")
    return [first + "".join(parts) for parts in product(*((f"-{other}", f"_{other}") for other in others))]


_UNBELIEVED = [
    *(spelling for name in _WHOLE for spelling in _spellings(name)),
    *(f"{spelling}*" for name in _BEGINNINGS for spelling in _spellings(name)),
]


def cleaning(*, behind_front: bool) -> list[dict[str, Any]]:
    """Return the routes that strip these headers; they come before all others.

    Of the headers that are for one hop alone (RFC 9110, 7.6.1) a WebSocket's are kept: what else a visitor names in
    `Connection` would be taken off by Caddy after it was set here, and no other protocol is switched to.
    """
    share = CLIENT if behind_front else "{http.request.remote.host/32,64}"
    handlers: list[dict[str, Any]] = [{"handler": "vars", "share": share}]
    if behind_front:  # it alone knows whether the visitor came by TLS
        handlers[0]["front_proto"] = "{http.request.header.X-Forwarded-Proto}"
    handlers.append({"handler": "headers", "request": {"delete": _UNBELIEVED}})
    if behind_front:
        handlers.append({"handler": "headers", "request": {"set": {"X-Forwarded-Proto": ["{http.vars.front_proto}"]}}})
    switch = {"Connection": ["Upgrade"], "Upgrade": ["websocket"]}
    hop = ["Connection", "Upgrade", "HTTP2-Settings", "Proxy-Connection", "Keep-Alive"]
    # one over QUIC has no connection of its own that could be ended with the right to it; no browser opens any
    by_quic = {"match": [{"protocol": "http/3", "method": ["CONNECT"]}], "handle": [MISDIRECTED], "terminal": True}
    return [
        by_quic,
        {"handle": handlers},
        {"match": [_WEBSOCKET], "handle": [{"handler": "headers", "request": {"set": switch}}]},
        {"match": [{"not": [_WEBSOCKET]}], "handle": [{"handler": "headers", "request": {"delete": hop}}]},
    ]


def told() -> dict[str, list[str]]:
    """Return the headers by which every upstream is told of its visitor."""
    return {"X-Forwarded-For": [CLIENT], "X-Forwarded-Host": ["{http.request.hostport}"], "X-Real-IP": [CLIENT]}


def told_node(key: str) -> dict[str, list[str]]:
    """Return the headers by which the node itself is told."""
    return {**told(), KEY: [key], VISITOR: [CLIENT]}
