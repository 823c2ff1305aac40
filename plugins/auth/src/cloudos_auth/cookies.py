"""The cookies of a browser's session. They hold nothing without the CSRF token, which no cookie carries.

Over HTTPS their names begin with `__Host-` (RFC 6265bis, 4.1.3): no subdomain and no plain connection can
set them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cloudos_sdk.capabilities import SESSION_COOKIE
from quart import Response

ACCESS, REFRESH = SESSION_COOKIE, "cloudos_refresh"
_HOST = "__Host-"
_REFRESH_PATH = "/api/auth/refresh"
_PATHS = {ACCESS: "/", REFRESH: _REFRESH_PATH}
_FORMER = ("cloudos_csrf",)


def cookie_values(cookies: Mapping[str, str], name: str) -> list[str]:
    """Return the values of a cookie, the safest name first; a browser may send several of one name."""
    getlist: Any = getattr(cookies, "getlist", None)
    found: list[str] = []
    for each in (_HOST + name, name):
        found += getlist(each) if getlist is not None else [cookies[each]] if each in cookies else []
    return [value for value in found if value]


def set_cookie(response: Response, name: str, value: str, lifetime: timedelta, *, secure: bool) -> None:
    """Put a token into a cookie that scripts cannot read."""
    response.set_cookie(
        _HOST + name if secure else name,
        value,
        max_age=int(lifetime.total_seconds()),
        path="/" if secure else _PATHS[name],
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def delete_cookies(response: Response, sent: Mapping[str, str]) -> None:
    """Take the cookies of a session away from a browser that sent one."""
    if not any(name.removeprefix(_HOST) in (ACCESS, REFRESH, *_FORMER) for name in sent):
        return
    for name, path in _PATHS.items():
        response.delete_cookie(name, path=path, httponly=True, samesite="Lax")
        response.delete_cookie(_HOST + name, path="/", secure=True, httponly=True, samesite="Lax")
    for name in _FORMER:
        response.delete_cookie(name, path="/")
