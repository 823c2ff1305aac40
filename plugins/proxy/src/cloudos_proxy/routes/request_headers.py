"""The headers that a route sets for its upstream: allowed names and placeholders, and values hidden as secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from cloudos_sdk import InvalidRequest

from cloudos_proxy.hostnames import BadHostname, normalise

HIDDEN = "(hidden)"

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = re.compile(
    r"remote-.*|x-forwarded-.*|forwarded|x-real-ip|x-cloudos-.*|connection|upgrade|http2-settings|keep-alive|proxy-connection"
    r"|transfer-encoding|content-length|te|trailer",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"host|accept(-(charset|encoding|language|ranges))?|cache-control|date|dnt|expires|origin|pragma|range|user-agent|vary"
    r"|content-(disposition|encoding|language|type|security-policy(-report-only)?)|permissions-policy|referrer-policy"
    r"|access-control-(allow-(credentials|headers|methods|origin)|expose-headers|max-age|request-(headers|method))"
    r"|cross-origin-(embedder|opener|resource)-policy|strict-transport-security|x-content-type-options|x-frame-options"
    r"|x-forwarded-(for|host|port|prefix|proto|server)|x-requested-with|x-robots-tag|x-xss-protection",
    re.IGNORECASE,
)
"""Headers whose values are shown. Of all others a value may be a secret, whatever the name."""

_HARMLESS = (
    "http.request.host", "http.request.host.labels.…", "http.request.hostport", "http.request.port",
    "http.request.method", "http.request.scheme", "http.request.proto", "http.request.uri", "http.request.uri.path",
    "http.request.uri.query", "http.request.uri.query.…", "http.request.remote", "http.request.remote.host",
    "http.request.remote.port", "http.request.header.…", "http.request.cookie.…", "http.request.tls.version",
    "http.request.tls.server_name", "http.request.tls.cipher_suite", "http.request.uuid", "http.vars.client_ip",
    "http.vars.share", "time.now", "time.now.http", "time.now.unix", "time.now.unix_ms",
)  # fmt: skip
"""Placeholders that take no more memory than a request's head: `http.request.body` is the whole body."""

_PLACEHOLDER = re.compile(
    r"\{(?:" + "|".join(re.escape(name).replace("…", r"[A-Za-z0-9_.-]+") for name in _HARMLESS) + r")\}"
)
_MOST_PLACEHOLDERS = 32
"""Of all headers together: each may stand for as much as a visitor sends in one header."""
_HOSTS = ("{http.request.host}", "{http.request.hostport}")

Owns = Callable[[str], bool]


def check_headers(given: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to keep, with those that are sent back hidden as they are `known`. Raises InvalidRequest."""
    found = {name: _checked(name, value, known) for name, value in given.items()}
    if sum(len(_PLACEHOLDER.findall(value)) for value in found.values()) > _MOST_PLACEHOLDERS:
        raise _bad(f"all values together name at most {_MOST_PLACEHOLDERS} placeholders")
    return found


def headers_refusal(headers: Iterable[tuple[str, str]], owns: Owns) -> str | None:
    """Return why a route with these headers may not be served, or None; `owns` recognizes the node's names.

    What is kept was checked by the rules of then, and a name becomes the node's.
    """
    for name, value in headers:
        if (why := _unnamable(name, value)) is not None:
            return why
        if name.lower() == "host" and _names_node(value, owns):
            return f"the value of {name} is a name of this node: the route would lead back to the node"
    return None


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with values hidden that may be secrets."""
    return {name: value if _is_public(name, value) else HIDDEN for name, value in headers.items()}


def _is_public(name: str, value: str) -> bool:
    """Return whether a value is public, by its header's name or because it consists of placeholders."""
    if _PUBLIC.fullmatch(name):
        return True
    rest = _PLACEHOLDER.sub("", value)
    return rest != value and not re.search(r"\w", rest)


def _checked(name: str, value: str, known: Mapping[str, str]) -> str:
    if not _NAME.fullmatch(name) or _OURS.fullmatch(name.replace("_", "-")):
        raise _bad(f"{name!r} is no header that a route may set")
    if value == HIDDEN:
        if name not in known:
            raise _bad(f"{name} has no value yet that could stay; send its value")
        value = known[name]
    if len(value) > 4000 or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise _bad(f"the value of {name} is no header's value")
    if (why := _unnamable(name, value)) is not None:
        raise _bad(why)
    return value


def _unnamable(name: str, value: str) -> str | None:
    """Return why a value contains a forbidden placeholder, or None."""
    rest = _PLACEHOLDER.sub("", value)
    if "{" in rest:
        allowed = ", ".join(f"{{{each}}}" for each in _HARMLESS)
        return f"the value of {name} names a placeholder that a route may not; allowed are {allowed}"
    if name.lower() == "host" and rest != value and value.strip() not in _HOSTS:
        return f"the value of {name} is a name, or one of {' and '.join(_HOSTS)} alone"
    return None


def _names_node(value: str, owns: Owns) -> bool:
    host = value.strip().partition(":")[0]
    try:
        return owns(normalise(host))
    except BadHostname:
        return False  # no route can have it


def _bad(message: str) -> InvalidRequest:
    return InvalidRequest.field("request_headers", message)
