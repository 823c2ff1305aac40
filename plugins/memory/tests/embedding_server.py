"""A loopback server of Ollama's and OpenAI's embedding APIs: its vectors are sums of a random vector a word."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from aiohttp import web


class EmbeddingServer:
    """What it answers can be changed while it runs."""

    def __init__(self) -> None:
        self.url = ""
        self.dimension = 96
        self.delay = 0.0
        self.status = 200
        self.refuse = ""  # a word that it does not take
        self.bearer = ""
        self.requests: list[list[str]] = []
        self.released = asyncio.Event()
        self.released.set()

    async def ollama(self, request: web.Request) -> web.Response:
        """Answer as `POST /api/embed`."""
        texts, refusal = await self._texts(request)
        return refusal or web.json_response({"model": "words", "embeddings": [self.vector(text) for text in texts]})

    async def openai(self, request: web.Request) -> web.Response:
        """Answer as `POST /v1/embeddings`, the last first: the index says which is which."""
        texts, refusal = await self._texts(request)
        data = [{"object": "embedding", "index": i, "embedding": self.vector(t)} for i, t in enumerate(texts)]
        return refusal or web.json_response({"object": "list", "data": data[::-1]})

    def vector(self, text: str) -> list[float]:
        """Return the vector of a text; not of length 1, as with some servers."""
        total = np.full(self.dimension, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            total += np.random.default_rng(seed).normal(size=self.dimension)
        return [float(x) for x in total]

    async def _texts(self, request: web.Request) -> tuple[list[str], web.Response | None]:
        body = await request.json()
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        self.requests.append(texts)
        await self.released.wait()
        await asyncio.sleep(self.delay)
        if self.bearer and request.headers.get("Authorization") != f"Bearer {self.bearer}":
            return texts, web.json_response({"error": "who are you"}, status=401)
        if self.refuse and any(self.refuse in text for text in texts):
            return texts, web.json_response({"error": "input is too long"}, status=400)
        if self.status != 200:
            return texts, web.json_response({"error": "loading"}, status=self.status)
        return texts, None


@asynccontextmanager
async def embedding_server(port: int = 0) -> AsyncIterator[EmbeddingServer]:
    """Run it on a loopback port."""
    server = EmbeddingServer()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/api/embed", server.ollama)
    app.router.add_post("/v1/embeddings", server.openai)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()
