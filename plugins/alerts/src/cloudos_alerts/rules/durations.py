"""Spans of time as people write them: `30s`, `5m`, `1h30m`, `7d`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_PATTERN = r"^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
LONGEST = 365 * 86_400


def seconds_of(text: str) -> int:
    """Return the seconds of e.g. `1h30m`. Raises ValueError if the text is no duration."""
    match = re.fullmatch(_PATTERN, text)
    if match is None or not text:
        raise ValueError("not a span of time such as 30s, 5m, 1h30m or 7d")
    total = sum(int(part[:-1]) * size for part, (_, size) in zip(match.groups(), _UNITS, strict=True) if part)
    if total > LONGEST:
        raise ValueError("longer than a year")
    return total


def span(seconds: float) -> str:
    """Return the shortest writing of some seconds: 90 is `1m30s`, 0 is `0s`."""
    rest, parts = int(seconds), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _checked(text: str) -> str:
    return span(seconds_of(text))


Duration = Annotated[
    str, Field(pattern=_PATTERN, min_length=2, max_length=40, examples=["5m"]), AfterValidator(_checked)
]
"""A span of time in a body, up to a year; shown in its shortest writing."""
