"""A route's options: validated, stored as JSON with secrets encrypted, shown without secrets, passed to Caddy."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from cloudos_sdk import InvalidRequest
from cloudos_sdk.context import Secrets

from cloudos_proxy.caddy.config.site import RouteLimits
from cloudos_proxy.routes.model import RouteRow
from cloudos_proxy.routes.request_headers import check_headers, shown_headers
from cloudos_proxy.routes.schemas import Account, Options

RATE_LIMIT_MODULE = "http.handlers.rate_limit"

_PREFIX = re.compile(r"(/[A-Za-z0-9._~@-]+)+")


def check_prefix(given: str | None) -> str:
    """Return a path prefix without a slash at its end; "" is every path."""
    prefix = (given or "").rstrip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise InvalidRequest.field("path_prefix", "it is a path such as /api, without wildcards")
    if prefix.split("/")[1:2] == [".cloudos"]:
        raise InvalidRequest.field("path_prefix", "/.cloudos is the node's own")
    return prefix


def plain_options(given: Options, before: dict[str, Any]) -> dict[str, Any]:
    """Return the non-secret options: `before` updated by the given ones."""
    options = dict(before)
    for name in ("allowed_roles", "ip_allow", "max_body_mb", "rate_limit"):
        if name in given.model_fields_set:
            value = getattr(given, name)
            options[name] = value.model_dump() if name == "rate_limit" and value else value
    if options.get("ip_allow"):
        options["ip_allow"] = [_network(text) for text in options["ip_allow"]]
    return {name: value for name, value in sorted(options.items()) if value}


async def secret_options(given: Options, before: dict[str, Any]) -> dict[str, Any]:
    """Return the secret options: `before` updated by the given ones; passwords are hashed, hidden values stay."""
    options = dict(before)
    if "basic_auth" in given.model_fields_set:
        known = dict(map(tuple, before.get("basic_auth", ())))
        options["basic_auth"] = [[each.username, await _hash(each, known)] for each in given.basic_auth or ()]
        if len(dict(options["basic_auth"])) < len(options["basic_auth"]):
            raise InvalidRequest.field("basic_auth", "two accounts have one username")
    if "request_headers" in given.model_fields_set:
        known = before.get("request_headers", {})
        options["request_headers"] = check_headers(given.request_headers or {}, known)
    return {name: value for name, value in sorted(options.items()) if value}


def stored(options: dict[str, Any]) -> str:
    """Return options as they are kept."""
    return orjson.dumps(options).decode() if options else ""


def sealed(options: dict[str, Any], before: str, secrets: Secrets) -> str:
    """Return the encrypted secret options; `before` if unchanged."""
    if options == opened(before, secrets):
        return before
    return secrets.encrypt(orjson.dumps(options).decode())


def opened(text: str, secrets: Secrets) -> dict[str, Any]:
    """Return secret options that were sealed."""
    return dict(orjson.loads(secrets.decrypt(text))) if text else {}


def plain(row: RouteRow) -> dict[str, Any]:
    """Return a row's options that are not secret."""
    return dict(orjson.loads(row.options)) if row.options else {}


def shown(row: RouteRow, secrets: Secrets) -> dict[str, Any]:
    """Return all options of a row without their secrets; those not set are left out."""
    hidden = opened(row.secret_options, secrets)
    options = plain(row)
    if row.path_prefix:
        options["path_prefix"] = row.path_prefix
    if hidden.get("basic_auth"):
        options["basic_auth"] = [{"username": name} for name, _ in hidden["basic_auth"]]
    if hidden.get("request_headers"):
        options["request_headers"] = shown_headers(hidden["request_headers"])
    return options


def limits(row: RouteRow, secrets: Secrets) -> RouteLimits:
    """Return the limits of a row for Caddy."""
    if not row.options and not row.secret_options:
        return NOTHING
    key: Any = secrets  # a plugin has one, for as long as it runs
    return _limits(row.options, row.secret_options, key)


NOTHING = RouteLimits()


@lru_cache(maxsize=8192)
def _limits(options: str, secret: str, secrets: Any) -> RouteLimits:
    open_, hidden = (orjson.loads(options) if options else {}), opened(secret, secrets)
    rate = open_.get("rate_limit")
    return RouteLimits(
        allowed_roles=tuple(open_.get("allowed_roles", ())),
        ip_allow=tuple(open_.get("ip_allow", ())),
        basic_auth=_pairs(hidden.get("basic_auth", ())),
        request_headers=_pairs(hidden.get("request_headers", {}).items()),
        max_body_mb=open_.get("max_body_mb"),
        rate_limit=(rate["requests"], rate["seconds"]) if rate else None,
    )


def _pairs(items: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in items)


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise InvalidRequest.field("ip_allow", f"{text!r} is no address and no network such as 10.0.0.0/8") from None


async def _hash(account: Account, known: dict[str, str]) -> str:
    if account.password is None:
        if account.username not in known:
            raise InvalidRequest.field("basic_auth", f"{account.username} has no password yet")
        return known[account.username]
    password = account.password.encode()
    if len(password) > 72:
        raise InvalidRequest.field("basic_auth", "a password is at most 72 bytes long")
    return await asyncio.to_thread(_bcrypt, password)


def _bcrypt(password: bytes) -> str:
    import bcrypt

    return bcrypt.hashpw(password, bcrypt.gensalt(10)).decode()
