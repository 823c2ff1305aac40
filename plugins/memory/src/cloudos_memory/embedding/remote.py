"""Embedding by another server: Ollama's API and OpenAI's, which many servers speak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudos_memory.embedding.backend import BackendDown, Matrix, T, TextRefused, sound
from cloudos_memory.settings import EmbeddingSettings

if TYPE_CHECKING:
    import aiohttp

_REFUSED = {400, 413, 422}


class _Server:
    """Sends one JSON request for each batch, over connections that are kept."""

    name = ""
    floor = 0.3
    path = ""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self.model = settings.model
        self._url = settings.url.rstrip("/") + self.path
        self._key = settings.api_key.get_secret_value() if settings.api_key is not None else None
        self._timeout = settings.timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return a row for each text, by one request."""
        if not texts:
            return _rows([], 0)
        answer = await self._post({"model": self.model, "input": [sound(text) for text in texts]})
        try:
            return await asyncio.to_thread(_rows, self._vectors(answer), len(texts))
        except (KeyError, TypeError, ValueError) as error:
            raise BackendDown(f"{self.name} at {self._url} gave no embeddings: {error}") from error

    async def embed_query(self, text: str, then: Callable[[Matrix], T]) -> T:
        """Embed a query; return the result of `then(row)`."""
        return await asyncio.to_thread(then, (await self.embed([text]))[0])

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _vectors(self, answer: Any) -> list[list[float]]:
        raise NotImplementedError

    async def _post(self, body: Mapping[str, Any]) -> Any:
        import aiohttp
        import orjson

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout)
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._session = aiohttp.ClientSession(timeout=timeout, headers=headers)
        try:
            async with self._session.post(
                self._url, data=orjson.dumps(body), headers={"Content-Type": "application/json"}
            ) as answer:
                said = await answer.read()
                if answer.status in _REFUSED:
                    raise TextRefused(f"{self.name} at {self._url} answered {answer.status}: {_short(said)}")
                if answer.status != 200:
                    raise BackendDown(f"{self.name} at {self._url} answered {answer.status}: {_short(said)}")
                return orjson.loads(said)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise BackendDown(
                f"{self.name} at {self._url} cannot be reached: {error or type(error).__name__}"
            ) from error


class Ollama(_Server):
    """Ollama, `POST /api/embed`."""

    name = "ollama"
    path = "/api/embed"

    def _vectors(self, answer: Any) -> list[list[float]]:
        vectors: list[list[float]] = answer["embeddings"]
        return vectors


class OpenAICompatible(_Server):
    """OpenAI's `POST /v1/embeddings`, as llama.cpp, vLLM, LocalAI and others serve it too."""

    name = "openai"
    path = "/v1/embeddings"

    def _vectors(self, answer: Any) -> list[list[float]]:
        ordered = sorted(answer["data"], key=lambda item: item["index"])
        return [item["embedding"] for item in ordered]


def _rows(vectors: list[list[float]], wanted: int) -> Matrix:
    import numpy as np

    rows = np.asarray(vectors, np.float32)
    if wanted == 0:
        return rows.reshape(0, 0)
    if rows.ndim != 2 or len(rows) != wanted or rows.shape[1] == 0 or not np.isfinite(rows).all():
        raise ValueError(f"{len(vectors)} vectors for {wanted} texts, or none that can be compared")
    unit: Matrix = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit


def _short(said: bytes) -> str:
    return said[:200].decode("utf-8", "replace")
