"""The protocol of embedding backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float32]
else:
    Matrix = Any

T = TypeVar("T")


def sound(text: str) -> str:
    """Return a text without the halves of characters that UTF-8 has no form for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class BackendDown(Exception):
    """The backend does not answer, or not as it should; the sentence says which and why. Try again later."""


class TextRefused(Exception):
    """The backend is up and refuses these very texts: another try will not help."""


class Backend(Protocol):
    """One way to embed. Vectors are rows of length 1."""

    @property
    def name(self) -> str:
        """`onnx`, `ollama` or `openai`."""
        ...

    @property
    def model(self) -> str:
        """The name of the model; vectors of different models are never mixed."""
        ...

    @property
    def floor(self) -> float:
        """The similarity below which two texts have nothing to do with each other."""
        ...

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return a row for each text. Raises BackendDown and TextRefused."""
        ...

    async def embed_query(self, text: str, then: Callable[[Matrix], T]) -> T:
        """Embed a query ahead of the queue; return the result of `then(row)`.

        `then` is called in a thread, in that which embeds where there is one. Raises BackendDown and TextRefused.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...
