"""Sizes and durations of compose files: https://docs.docker.com/reference/compose-file/extension."""

from __future__ import annotations

import re

from cloudos_apps.templates.formats.common import UnsupportedTemplate, text_of

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(?:([kmgtp]?)(?:i?b)?)")
_DURATION = re.compile(r"(?:\d{1,15}(?:\.\d{1,15})?(?:us|µs|μs|ms|ns|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|µs|μs|ms|ns|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def size(given: object, what: str) -> int:
    """Return a size in bytes, of `1.5g`, `512m`, `64 KiB` or a number of bytes. Raises Unfit."""
    match = _SIZE.fullmatch(text_of(given, what).strip().lower())
    if match is None:
        raise UnsupportedTemplate(f"{what} {str(given)[:60]!r} cannot be read; write it as 512m or 1.5g")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2] or " "))


def seconds(given: object, what: str) -> float:
    """Return a duration in seconds, of `1m30s`, `1.5h` or `500ms`. Raises Unfit."""
    text = text_of(given, what).strip()
    if text == "0":
        return 0.0
    if _DURATION.fullmatch(text) is None:
        raise UnsupportedTemplate(f"{what} {str(given)[:60]!r} cannot be read; write it as 30s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
