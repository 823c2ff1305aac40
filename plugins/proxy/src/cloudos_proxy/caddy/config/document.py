"""Caddy's whole document, made from values. Pure: the same values give the same document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from cloudos_proxy.caddy.config.ambiguous_paths import unclear_path_refusals
from cloudos_proxy.caddy.config.forward_auth_handlers import access_handlers, own_paths
from cloudos_proxy.caddy.config.limit_handlers import limit_handlers
from cloudos_proxy.caddy.config.node_cookies import UNSET_OWN, WITHOUT_OWN, cleaned_but, cleans_itself, keepers_of
from cloudos_proxy.caddy.config.quic_refusals import quic_refusals
from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.caddy.config.tls import TlsParts
from cloudos_proxy.caddy.config.visitor_headers import cleaning, told, told_node

ALIVE = "/.cloudos/alive"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "SAMEORIGIN",
}
HSTS = ("Strict-Transport-Security", "max-age=31536000")
WITHOUT_HEADERS = {
    "format": "filter",
    "wrap": {"format": "json"},
    "fields": {
        "request>headers": {"filter": "delete"},
        "request>uri": {"filter": "regexp", "regexp": r"\?.*", "value": "?"},
        "headers": {"filter": "delete"},
        "resp_headers": {"filter": "delete"},
    },
}
"""How Caddy writes its log: without what is said in headers and queries, where passwords and keys are, the node's own
among them. Caddy tells of each visitor who leaves a stream, with the request as the upstream was sent it."""
NOWHERE = "Nothing is served under this name.\n"


@dataclass(frozen=True)
class Frame:
    """The settings of a document besides its sites: addresses in Caddy's syntax, files and public ports."""

    admin: str
    storage: str
    log_file: str
    api: str
    """The node's own API as routes name it, host:port."""
    gate: str
    """Where Caddy asks whether a visitor may come in."""
    api_dial: str = ""
    """By which Caddy reaches the API, where it is not `api`: a Unix socket, which nobody else takes over."""
    names: str = ""
    """Where Caddy asks what the name of an upstream stands for."""
    key: str = ""
    """By which the node knows that a request came by this Caddy."""
    http: tuple[str, ...] = ()
    https: tuple[str, ...] = ()
    http3: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    """Listeners behind another web server, which ends TLS itself."""
    http_port: int = 80
    https_port: int = 443
    stream_close_seconds: int = 3600
    stream_seconds: int = 0
    """How long a WebSocket of a gated route lasts at most; 0 is for ever: it is ended with the right to it."""
    drain_seconds: float = 0.0
    """How long the servers before a load go on with what they took; only where newcomers are sent to the new ones."""


def admin_part(admin: str) -> dict[str, Any]:
    """Return the `admin` part: the admin API's address, and no autosave."""
    return {"listen": admin, "config": {"persist": False}}


def build(frame: Frame, sites: Sequence[Site], tls: TlsParts) -> dict[str, Any]:
    """Return the document that serves `sites`."""
    ordered = sorted([*sites, *tls.sites], key=_specific_first)
    keepers = keepers_of(ordered)
    around = _Around.of(frame)
    made = [_route(site, around, cleans_itself(site, keepers)) for site in ordered]
    secure = [route for site, route in zip(ordered, made, strict=True) if site.hostname not in tls.plain]
    plain = [route for site, route in zip(ordered, made, strict=True) if site.hostname in tls.plain]
    own = [*own_paths(frame.api_dial or frame.api, frame.key), *unclear_path_refusals(ordered), *cleaned_but(keepers)]
    servers: dict[str, Any] = {}
    if frame.http:
        servers["http"] = _server(frame.http, [*own, *plain, *_redirects(frame, secure)])
    if frame.https:
        first = quic_refusals(ordered) if frame.http3 else []
        servers["https"] = _server(frame.https, [*first, {"handle": [_unless_set(*HSTS)]}, *own, *secure])
        servers["https"]["tls_connection_policies"] = [dict(policy) for policy in tls.connection_policies]
        servers["https"]["listen_protocols"] = [["h1", "h2"]] * len(frame.https)
        if frame.http3:
            servers["https"]["listen"] += frame.http3
            servers["https"]["listen_protocols"] += [["h3"]] * len(frame.http3)
    if frame.front:
        servers["front"] = _server(frame.front, [*own, *made], behind_front=True)
        servers["front"]["trusted_proxies"] = {"source": "static", "ranges": ["127.0.0.1/32"]}
        # from the right, so that what a visitor wrote before the server in front wrote the truth does not count
        servers["front"]["trusted_proxies_strict"] = 1
    document: dict[str, Any] = {
        "admin": admin_part(frame.admin),
        "logging": {
            "logs": {"default": {"level": "INFO", "writer": _log_writer(frame.log_file), "encoder": WITHOUT_HEADERS}}
        },
        "storage": {"module": "file_system", "root": frame.storage},
        "apps": {"http": {"http_port": frame.http_port, "https_port": frame.https_port, "servers": servers}},
    }
    if frame.drain_seconds:
        document["apps"]["http"]["shutdown_delay"] = f"{frame.drain_seconds * 1000:.0f}ms"
    document["apps"]["pki"] = dict(tls.pki)
    if tls.app:
        document["apps"]["tls"] = dict(tls.app)
    return document


def _log_writer(path: str) -> dict[str, Any]:
    return {"output": "file", "filename": path, "mode": "0600", "roll_size_mb": 10, "roll_keep": 2}


def _server(listen: tuple[str, ...], routes: list[dict[str, Any]], *, behind_front: bool = False) -> dict[str, Any]:
    alive = {"match": [{"path": [ALIVE]}], "handle": [{"handler": "static_response", "status_code": 204}]}
    nowhere = {"handle": [{"handler": "static_response", "status_code": 404, "body": NOWHERE}]}
    secured = {"handle": [_unless_set(name, value) for name, value in SECURITY.items()]}
    return {
        "listen": list(listen),
        "listen_protocols": [["h1"]] * len(listen),
        "automatic_https": {"disable": True},
        "routes": [
            {**alive, "terminal": True},
            _without_dot(),
            *cleaning(behind_front=behind_front),
            secured,
            *routes,
            nowhere,
        ],
    }


def _without_dot() -> dict[str, Any]:
    """Return the route that sends a visitor of a name with the root's dot to the name without it, which guards know."""
    dotted = {"Host": {"name": "dotted", "pattern": r"^(.+?)\.+(:[0-9]+)?$"}}
    to = "//{http.regexp.dotted.1}{http.regexp.dotted.2}{http.request.uri}"
    answer = {"handler": "static_response", "status_code": 308, "headers": {"Location": [to]}}
    return {"match": [{"header_regexp": dotted}], "handle": [answer], "terminal": True}


def _unless_set(name: str, value: str) -> dict[str, Any]:
    """Return the handler that sets a response header unless the upstream sets it."""
    response = {"set": {name: [value]}, "require": {"headers": {name: None}}, "deferred": True}
    return {"handler": "headers", "response": response}


def _redirects(frame: Frame, secure: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not secure or not frame.https:
        return []
    port = "" if frame.https_port == 443 else f":{frame.https_port}"
    to = f"https://{{http.request.host}}{port}{{http.request.uri}}"
    hosts = sorted({host for route in secure for host in route["match"][0]["host"]})
    answer = {"handler": "static_response", "status_code": 308, "headers": {"Location": [to]}}
    return [{"match": [{"host": hosts}], "handle": [answer], "terminal": True}]


def _specific_first(site: Site) -> tuple[bool, str, int, str]:
    return site.hostname.startswith("*."), site.hostname, -len(site.path_prefix), site.path_prefix


class _Around(NamedTuple):
    """The part of a Frame that routes depend on."""

    api: str
    api_dial: str
    gate: str
    names: str
    key: str
    stream_close_seconds: int
    stream_seconds: int

    @classmethod
    def of(cls, frame: Frame) -> _Around:
        return cls(*(getattr(frame, name) for name in cls._fields))


def _is_node(site: Site, around: _Around) -> bool:
    return site.ui and site.dial == around.api


@lru_cache(maxsize=8192)
def _route(site: Site, around: _Around, by_itself: bool) -> dict[str, Any]:
    """Return one route. Documents share it, so it must not be changed."""
    match: dict[str, Any] = {"host": [site.hostname]}
    if site.path_prefix:
        match["path"] = [site.path_prefix, f"{site.path_prefix}/*"]
    handle = limit_handlers(site.limits, site.id)
    if site.require_auth and not site.ui:
        handle += access_handlers(site, around.gate, around.key)
    headers: dict[str, Any] = {"request": {"set": told_node(around.key) if _is_node(site, around) else told()}}
    if by_itself:
        handle.append(WITHOUT_OWN)  # before anything of the route's own can copy them
        headers["response"] = UNSET_OWN
    if site.limits.request_headers:
        wanted = {name: [value] for name, value in site.limits.request_headers}
        handle.append({"handler": "headers", "request": {"set": wanted}})
    transport = {"transport": {"protocol": "http", "resolver": {"addresses": [around.names]}}} if site.named else {}
    bound = {"stream_timeout": f"{around.stream_seconds}s"} if around.stream_seconds and site.require_auth else {}
    handle.append(
        {
            **transport,
            **bound,
            "handler": "reverse_proxy",
            "upstreams": [{"dial": around.api_dial or site.dial if _is_node(site, around) else site.dial}],
            "headers": headers,
            "flush_interval": -1,
            "stream_close_delay": f"{around.stream_close_seconds}s",
        }
    )
    return {"match": [match], "handle": handle, "terminal": True}
