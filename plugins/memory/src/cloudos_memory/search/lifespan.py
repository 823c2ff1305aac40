"""The lifespan of search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from cloudos_sdk import Context, Unavailable
from cloudos_sdk.capabilities import Embedder, Recall

from cloudos_memory.embedding import Backend, BackendDown, TextRefused, backend_of
from cloudos_memory.embedding.minilm import MiniLM
from cloudos_memory.embedding.quantize import NotQuantised
from cloudos_memory.search.analytics import Analytics
from cloudos_memory.search.hybrid import HybridRecall
from cloudos_memory.search.indexing.note_events import EVENTS, NoteEvents
from cloudos_memory.search.indexing.worker import IndexWorker
from cloudos_memory.search.query_embedder import QueryEmbedder
from cloudos_memory.search.vector.service import VectorSearch
from cloudos_memory.search.vector.store import EmbeddingStore

_START = 30.0


@asynccontextmanager
async def searching(ctx: Context) -> AsyncIterator[None]:
    """Provide `Recall` and `Embedder` while the plugin runs; by words alone if embedding is off."""
    backend = backend_of(ctx.settings.embedding, ctx.data_dir)
    embeddings = EmbeddingStore(ctx)
    vectors = VectorSearch(embeddings)
    indexer = IndexWorker(ctx, backend, embeddings, vectors) if backend is not None else None
    queries = QueryEmbedder(ctx, backend) if backend is not None else None
    following = NoteEvents(ctx, embeddings, vectors, indexer)
    ctx.provide(Recall, HybridRecall(ctx, vectors, queries, backend.floor if backend is not None else 0.0))
    ctx.provide(Analytics, Analytics(ctx, embeddings, vectors, backend.name if backend is not None else None))
    ctx.provide(NoteEvents, following)
    ctx.provide(VectorSearch, vectors)
    if backend is not None:
        ctx.provide(Embedder, NodeEmbedder(backend))
    ctx.events.subscribe_batches(following.handle, *EVENTS, name="vectors")
    tasks: list[asyncio.Task[None]] = []
    if indexer is not None and queries is not None:
        ctx.provide(IndexWorker, indexer)
        ctx.provide(QueryEmbedder, queries)
        tasks = [
            ctx.tasks.start("index", indexer.run),
            ctx.tasks.start("notes to index", following.catch_up),
            ctx.tasks.start("faster model", partial(_make_faster, ctx, backend)),
        ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if queries is not None:
            await queries.close()
        if backend is not None:
            await backend.close()
        await vectors.close()


async def _make_faster(ctx: Context, backend: Backend | None) -> None:
    """Have the model in process made faster, once it is used: not at once, when a start has enough to do."""
    if not isinstance(backend, MiniLM):
        return
    await backend.used.wait()
    await asyncio.sleep(_START)
    try:
        await backend.quantise()
    except (NotQuantised, BackendDown, OSError) as error:
        ctx.log.warning("the embedding model stays slow: it could not be quantised", error=str(error))


class NodeEmbedder:
    """Capability `Embedder`: the node's backend for other plugins."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """Which backend it is."""
        return self._backend.name

    @property
    def model(self) -> str:
        """Which model it has."""
        return self._backend.model

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a vector of length 1 for each text."""
        if not texts:
            return []
        try:
            if len(texts) == 1:
                return [await self._backend.embed_query(texts[0], lambda row: row.tolist())]
            rows = await self._backend.embed(texts)
        except (BackendDown, TextRefused) as error:
            raise Unavailable(str(error), code="embedding_unavailable", retry_after=5) from error
        vectors: list[list[float]] = await asyncio.to_thread(rows.tolist)
        return vectors
