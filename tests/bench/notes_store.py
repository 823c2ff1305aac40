"""Notes: creates a second and searches among 100,000, against rows and queries of the bare sqlite3 module."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import sqlite3
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

from cloudos_notes.storage.store import Store
from cloudos_sdk.capabilities import Authenticator, NoteDraft, NoteFilter
from cloudos_sdk.testing.fakes import FakeAuthenticator, providing

from cloudos_host.config import Config, HostSettings
from cloudos_host.host import Host
from cloudos_host.plugins.discovery import discover, given
from tests.bench.load import quantile, report

NOTES, CREATED, WAITING, QUERIES, WORDS = 100_000, 2_000, 16, 150, 60
OWNER = "usr_bench"
RAW = """
    SELECT n.id, t.rank, snippet(t.notes_text, 1, '**', '**', '…', 28) FROM notes_text AS t
    CROSS JOIN notes_note AS n ON n.seq = t.rowid
    WHERE notes_text MATCH ? AND n.owner = ? AND n.deleted_at IS NULL ORDER BY t.rank LIMIT 10
"""


class Prose:
    """Texts whose words are as frequent as Zipf has it: the commonest in nearly every note, most in a few."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._words = [f"{a}{b}{c}" for a, b, c in itertools.product(PARTS, PARTS, PARTS)]
        self._random.shuffle(self._words)
        self._weights = list(itertools.accumulate(1 / (at + 2) for at in range(len(self._words))))

    def words(self, count):
        """Return words."""
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def draft(self, number):
        """Return a note with a tag and a link to an earlier one."""
        text = " ".join(self.words(WORDS))
        link = f"[[Note {self._random.randrange(max(1, number))}]]"
        namespace = self._random.choice(("work", "home", "molly"))
        return NoteDraft(title=f"Note {number}", content=f"{text} #topic {link}", source="mcp", namespace=namespace)


PARTS = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "o")]


async def main():
    """Print the ratios."""
    prose = Prose(1)
    with tempfile.TemporaryDirectory() as data:
        folder = Path(data)
        async with running(folder / "node") as store:
            await creates(store, prose, folder)
        fill(folder / "node" / "cloudos.db", prose, CREATED, NOTES)
        async with running(folder / "node") as store:
            await searches(store, prose, folder / "node" / "cloudos.db")


@asynccontextmanager
async def running(folder):
    """Run a host with notes alone in this process; yield the store."""
    config = Config(HostSettings(data_dir=folder, required=()), {}, "the bench")
    found = [found for found in discover() if found.id == "notes"]
    host = Host(config, found=[*found, given("fake_sign_in", providing(Authenticator, FakeAuthenticator()))])
    await host.boot()
    try:
        yield next(record for record in host.records if record.id == "notes").context.use(Store)
    finally:
        await host.shutdown()


async def creates(store, prose, folder):
    """Create notes, some waiting at once, against inserts of the same texts into a bare table with an FTS5 index."""
    drafts = [prose.draft(number) for number in range(CREATED)]
    waiting = iter(drafts)

    async def work():
        for draft in waiting:
            await store.create(OWNER, draft)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WAITING)))
    ours = CREATED / (time.perf_counter() - start)
    raw = bare_creates(folder / "bare.db", drafts)
    report("note creates a second", ours / raw, ">= 600 a second", f"{ours:.0f}", f"{raw:.0f}")


def bare_creates(path, drafts):
    """Return how many rows a second the sqlite3 module writes, 16 to a commit, with an FTS5 index beside them."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE note (seq INTEGER PRIMARY KEY, title TEXT, content TEXT)")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, content, tokenize='porter unicode61')")
        start = time.perf_counter()
        for part in batched(drafts):
            connection.execute("BEGIN IMMEDIATE")
            for draft in part:
                row = (draft.title, draft.content)
                connection.execute("INSERT INTO note (title, content) VALUES (?, ?)", row)
                connection.execute("INSERT INTO words (title, content) VALUES (?, ?)", row)
            connection.execute("COMMIT")
        return len(drafts) / (time.perf_counter() - start)


def batched(drafts):
    return (drafts[at : at + WAITING] for at in range(0, len(drafts), WAITING))


def fill(database, prose, first, last):
    """Fill the database of a node that is down with notes, tags and links, by one transaction and its own triggers.

    The node made those before `first`.
    """
    rows = (rows_of(number, prose.draft(number)) for number in range(first, last))
    with sqlite3.connect(database) as connection:
        for named in rows:
            for table, values in named:
                names, marks = ", ".join(values), ", ".join("?" for _ in values)
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def rows_of(number, draft):
    """Return the rows of a note, with their tables."""
    now, seq = "2026-01-01 00:00:00.000000", number + 1
    linked = int(re.search(r"\[\[Note (\d+)\]\]", draft.content)[1])
    yield "notes_note", {
        "seq": seq, "id": f"note_bench{number:08}", "owner": OWNER, "title": draft.title,
        "title_key": draft.title.lower(), "content": draft.content, "search": "", "tags": '["topic"]',
        "importance": 0.5, "archived": 0, "source": "mcp", "namespace": draft.namespace, "folder": "", "version": 1,
        "created_at": now, "updated_at": now, "active_at": now,
    }  # fmt: skip
    yield "notes_tag", {"note": seq, "key": "topic", "kind": "inline", "owner": OWNER, "tag": "topic"}
    title = f"Note {linked}"
    link = {"source": seq, "kind": "text", "key": title.lower(), "title": title, "target": linked + 1}
    yield "notes_link", {**link, "owner": OWNER, "namespace": draft.namespace}


async def searches(store, prose, database):
    """Search as people ask: six words, common and rare; and by the words that all notes have."""
    queries = [" ".join(prose.words(6)) for _ in range(QUERIES)]
    wanted = NoteFilter(owner=OWNER, namespaces=("work", "molly"), min_importance=0.1)
    ours, raw = [], []
    with sqlite3.connect(database) as bare:
        for query in queries:
            start = time.perf_counter()
            await store.search_text(query, wanted, 10)
            ours.append((time.perf_counter() - start) * 1000)
            match = " OR ".join(f'"{word}"' for word in query.split())
            start = time.perf_counter()
            bare.execute(RAW, (match, OWNER)).fetchall()
            raw.append((time.perf_counter() - start) * 1000)
    for share, target in ((0.5, "p50 < 8 ms"), (0.99, "p99 < 60 ms")):
        mine, bare_ms = quantile(ours, share), quantile(raw, share)
        report(
            f"search of six words, p{share * 100:.0f}", mine / bare_ms, target, f"{mine:.2f} ms", f"{bare_ms:.1f} ms"
        )
