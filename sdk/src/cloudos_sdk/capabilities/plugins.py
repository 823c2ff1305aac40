"""Which plugins run: for the web interface, which shows what they bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cloudos_sdk.manifest import Manifest


@dataclass(frozen=True, slots=True)
class RunningPlugin:
    """A plugin that is up, as what it declares about itself."""

    id: str
    version: str
    manifest: Manifest


class PluginCatalogue(Protocol):
    """The plugins; provided by the host."""

    def running(self) -> Sequence[RunningPlugin]:
        """Return those that run now, in the order of their start."""
        ...

    def owned(self, path: str) -> bool:
        """Tell whether a path belongs to a plugin or to the host, whether that runs or not."""
        ...
