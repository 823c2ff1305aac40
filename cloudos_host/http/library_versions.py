"""Which versions of Quart and hypercorn the fast paths were written against: they replace private parts of both."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

WRITTEN_AGAINST = {"quart": ("0.20", "0.21", "0.22"), "hypercorn": ("0.17", "0.18")}


def unknown_versions() -> dict[str, str]:
    """Return the installed versions that no fast path was written against, by distribution."""
    installed = {name: version(name) for name in WRITTEN_AGAINST}
    return {name: v for name, v in installed.items() if ".".join(v.split(".")[:2]) not in WRITTEN_AGAINST[name]}


def fast_path_wanted(setting: bool, log: Any) -> bool:
    """Return whether to serve by the fast paths; logs one line if the installed versions rule it out."""
    if setting and (unknown := unknown_versions()):
        log.warning("HTTP is served without the fast path: it does not know these versions", **unknown)
        return False
    return setting
