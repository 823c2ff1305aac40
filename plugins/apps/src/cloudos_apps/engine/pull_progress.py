"""How far a pull is, layer by layer, from the engine's lines about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HERE = ("Download complete", "Pull complete", "Already exists")


@dataclass
class Layer:
    """A layer: status and downloaded bytes."""

    status: str = ""
    done: int = 0
    total: int = 1


class Layers:
    """The layers of one image."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, Layer] = {}
        self._reached = 0.0

    def note(self, line: Mapping[str, Any]) -> None:
        """Handle a progress line, e.g. `{"status": "Downloading", "progressDetail": {…}, "id": "a1b2"}`."""
        status, id = line.get("status", ""), line.get("id")
        if id is None or status.startswith("Pulling from"):
            return
        layer = self._layers.setdefault(id, Layer())
        detail = line.get("progressDetail") or {}
        layer.status = status
        if status == "Downloading":
            layer.done, layer.total = detail.get("current", layer.done), detail.get("total") or layer.total
        elif status in _HERE:
            layer.done = layer.total

    def progress(self) -> tuple[float, str, Mapping[str, Any]]:
        """Return how far the pull is, 0..1 and never less than before, a sentence, and each layer's state."""
        layers = self._layers.values()
        total = sum(layer.total for layer in layers)
        self._reached = max(self._reached, sum(layer.done for layer in layers) / total if total else 0.0)
        here = sum(layer.status in _HERE for layer in layers)
        message = f"Pulling {self._image}: {here} of {len(self._layers)} layers" if layers else f"Pulling {self._image}"
        return self._reached, message, {"layers": {id: vars(layer).copy() for id, layer in self._layers.items()}}
