"""The node's cookies stay its own: no upstream is sent one, and none sets one."""

from __future__ import annotations

from typing import Any

# What a browser or a reader of cookies takes for the beginning of one; the names are the node's by how they begin, so
# that one which comes later is among them.
_NAME = r"(?:__(?:Host|Secure)-)?cloudos_"
_SENT = rf"(?i)(?:^|[;,])[^;,=A-Za-z0-9!#$%&'*+.^_`|~-]*{_NAME}[^;,]*"
_SET = rf"(?i)^[^;,=A-Za-z0-9!#$%&'*+.^_`|~-]*{_NAME}.*$"


def without_own_cookies() -> dict[str, Any]:
    """Return the handler that takes them off a request, each from each `Cookie` header."""
    taken = [{"search_regexp": _SENT, "replace": ""}, {"search_regexp": r"^[;,\s]+", "replace": ""}]
    return {"handler": "headers", "request": {"replace": {"Cookie": taken}}}


def own_cookies_unset() -> dict[str, Any]:
    """Return what is to be changed of an answer: a cookie of the node's name is nothing that an app may set.

    One set for the whole domain would stand in for the node's own (session fixation).
    """
    return {"replace": {"Set-Cookie": [{"search_regexp": _SET, "replace": ""}]}}
