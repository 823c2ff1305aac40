"""Turning texts into vectors whose closeness is closeness of meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """Embeds texts with the model that the node is set to."""

    @property
    def name(self) -> str:
        """Which backend it is: `onnx` (in process), `ollama`, `openai`."""
        ...

    @property
    def model(self) -> str:
        """The name of the model; vectors of different models are never compared."""
        ...

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a vector of length 1 for each text, all of one dimension; Unavailable while the backend is down."""
        ...
