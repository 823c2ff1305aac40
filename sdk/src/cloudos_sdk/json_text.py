"""JSON of clients: one parser with limits of depth and size."""

from __future__ import annotations

from typing import Any

import orjson

from cloudos_sdk.errors import InvalidRequest

MOST_LEVELS = 64
MOST_VALUES = 50_000
MOST_MEMBERS = 1_000
"""Of one object: whoever checks what is in it complains of each member that it does not know."""


def read_json(text: bytes | str) -> Any:
    """Return the parsed value; of a repeated name the last counts. Raises InvalidRequest.

    Raises InvalidRequest where it is not JSON (RFC 8259), nests over `MOST_LEVELS` deep, has over `MOST_VALUES` values
    or over `MOST_MEMBERS` in one object: what is checked, stored or answered afterwards costs no more than these.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {str(error)[:200]}.") from None
    if _may_be_deep(text) or _may_be_many(text):
        _measure(value)
    return value


def holds_nul(value: Any) -> bool:
    """Return whether a string or name in a JSON value contains NUL, which databases cannot store."""
    if isinstance(value, str):
        return "\0" in value
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if "\0" in each:
                return True
        elif isinstance(each, dict):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False


def _may_be_deep(text: bytes | str) -> bool:
    if isinstance(text, str):
        return text.count("[") + text.count("{") > MOST_LEVELS
    return text.count(b"[") + text.count(b"{") > MOST_LEVELS


def _may_be_many(text: bytes | str) -> bool:
    if isinstance(text, str):
        return text.count(",") >= MOST_VALUES or text.count(":") > MOST_MEMBERS
    return text.count(b",") >= MOST_VALUES or text.count(b":") > MOST_MEMBERS


def _measure(value: Any) -> None:
    """Raise InvalidRequest if a value is too deep or too large; iterative, so that depth costs no stack."""
    level, depth, values = [value], 0, 1
    while level:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if len(each) > MOST_MEMBERS:
                    raise InvalidRequest(f"An object in the body has over {MOST_MEMBERS} members; send fewer.")
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        depth, values = depth + 1, values + len(inner)
        if depth > MOST_LEVELS:
            raise InvalidRequest(f"The body nests over {MOST_LEVELS} levels deep.")
        if values > MOST_VALUES:
            raise InvalidRequest(f"The body has over {MOST_VALUES} values; send it in parts.")
        level = inner
