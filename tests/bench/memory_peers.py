"""`memory_search` over MCP against two other memory servers: the same notes, queries and client.

`basic-memory` (PyPI) and `@modelcontextprotocol/server-memory` (npm) are installed into a folder that is thrown
away, or kept in `CLOUDOS_BENCH_CACHE`. They speak over stdio, we over HTTP. Notes and questions are those of
`retrieval`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
import httpx2
import psutil
from cloudos_memory.embedding.minilm import MiniLM
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.bench.load import key_in, program, quantile, report
from tests.bench.retrieval import chosen, squad

NOTES, QUERIES, AT = 1000, 100, 10
NEW = "import sys; sys.exit(sys.version_info < (3, 12))"


async def main():
    """Print, for each of the peers, how many times as fast we are at p50, and the recall@10 of all."""
    paragraphs, questions = chosen(squad())
    notes, questions = paragraphs[:NOTES], [each for each in questions if each[1] < NOTES][:QUERIES]
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(os.environ.get("CLOUDOS_BENCH_CACHE", scratch))
        async with ours(Path(scratch)) as client:
            mine = await measure(client, Ours, notes, questions)
        print(f"ours: p50 {mine[0]:.1f} ms, recall@{AT} {mine[1]:.3f}", flush=True)
        for peer in (BasicMemory, ServerMemory):
            await anyio.to_thread.run_sync(peer.install, kept)
            async with peer.client(kept, Path(scratch)) as client:
                p50, recall = await measure(client, peer, notes, questions)
            report(f"as fast as {peer.name}, p50", p50 / mine[0], ">= 5", f"{mine[0]:.1f} ms", f"{p50:.1f} ms")
            report(f"recall@{AT} against {peer.name}", mine[1] - recall, ">= 0", f"{mine[1]:.3f}", f"{recall:.3f}")


async def measure(client, peer, notes, questions):
    """Write the notes, ask the questions one by one; return p50 in ms and the share of the paragraphs found."""
    for start in range(0, len(notes), 50):
        await peer.write(client, [(place, *notes[place]) for place in range(start, min(len(notes), start + 50))])
    await peer.settle(client, len(notes))
    taken, found = [], 0
    for question, place in questions:
        start = time.perf_counter()
        places = await peer.search(client, question)
        taken.append((time.perf_counter() - start) * 1000)
        found += place in places[:AT]
    return quantile(taken, 0.5), found / len(questions)


def name_of(place):
    """Return the title by which a note is recognised in any answer."""
    return f"Paragraph {place:05}"


def places_in(text):
    """Return the places of the notes that a text names, in order."""
    return list(dict.fromkeys(int(number) for number in re.findall(r"[Pp]aragraph[ _-](\d{5})", text)))


def text_of(result):
    """Return the text of a tool's result; fail where it is an error."""
    text = "\n".join(getattr(part, "text", "") for part in result.content)
    assert not result.is_error, text[:500]
    return text


class Ours:
    """A node over Streamable HTTP."""

    process = None

    @staticmethod
    async def write(client, notes):
        """Write notes."""
        for place, title, text in notes:
            text_of(await client.call_tool("memory_create", {"title": name_of(place), "content": f"{title}. {text}"}))

    @staticmethod
    async def settle(client, count):
        """Wait until all is embedded: the node rests."""
        idle = 0
        while idle < 3:
            before = sum(Ours.process.cpu_times()[:2])
            await anyio.sleep(2)
            idle = idle + 1 if sum(Ours.process.cpu_times()[:2]) - before < 0.2 else 0

    @staticmethod
    async def search(client, question):
        """Search."""
        result = await client.call_tool("memory_search", {"query": question, "limit": AT})
        titles = [hit["title"] for hit in result.structured_content["results"]]
        return places_in("\n".join(titles))


@contextlib.asynccontextmanager
async def ours(scratch):
    """Run a node and connect to it."""
    key = scratch / "key"
    folder = scratch / "node" / "memory"
    folder.mkdir(parents=True)
    await MiniLM(folder).quantise()  # as a node has it from its first minute on
    with program("memory_node", scratch / "node", key) as node:
        headers = {"Authorization": f"Bearer {key_in(key)}"}
        Ours.process = psutil.Process(node.process.pid)
        http = httpx2.AsyncClient(headers=headers, timeout=60)
        transport = streamable_http_client(f"{node.url}/mcp", http_client=http)
        async with http, Client(transport, mode="legacy") as client:
            yield client


class BasicMemory:
    """Markdown files with an index; its search is by words unless it is set otherwise."""

    name = "basic-memory"
    folder = None

    @staticmethod
    def install(kept):
        """Install it, unless it is there."""
        folder = kept / "basic-memory"
        if not (folder / "bin" / "basic-memory").exists():
            names = filter(shutil.which, (sys.executable, "python3.13", "python3.12"))
            python = next((name for name in names if subprocess.run([name, "-c", NEW]).returncode == 0), None)
            if python is None:
                sys.exit("basic-memory needs Python 3.12 or newer")
            subprocess.run([python, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", "basic-memory"], check=True)

    @staticmethod
    @contextlib.asynccontextmanager
    async def client(kept, scratch):
        """Connect to it."""
        folder = kept / "basic-memory"
        home = scratch / "basic-home"
        BasicMemory.folder = home / "notes" / "bench"
        BasicMemory.folder.mkdir(parents=True)
        environ = {**os.environ, "HOME": str(home), "BASIC_MEMORY_HOME": str(home / "notes")}
        async with over_stdio(folder / "bin" / "basic-memory", "mcp", environ=environ) as client:
            yield client

    @staticmethod
    async def write(client, notes):
        """Write notes as files, which it looks for: by its tool they take ten minutes."""
        for place, title, text in notes:
            name = name_of(place)
            note = f"---\ntitle: {name}\ntype: note\n---\n\n# {name}\n\n{title}. {text}\n"
            await anyio.Path(BasicMemory.folder / f"{name}.md").write_text(note)

    @staticmethod
    async def settle(client, count):
        """Wait until it finds the last note, and whatever else it does is done."""
        while count - 1 not in await BasicMemory.search(client, name_of(count - 1)):
            await anyio.sleep(2)
        await anyio.sleep(20)

    @staticmethod
    async def search(client, question):
        """Search."""
        return places_in(text_of(await client.call_tool("search_notes", {"query": question, "page_size": AT})))


class ServerMemory:
    """A knowledge graph in a file; its search is for a part of a text."""

    name = "server-memory"

    @staticmethod
    def install(kept):
        """Install it, unless it is there."""
        folder = kept / "server-memory"
        if not (folder / "node_modules").exists():
            folder.mkdir(parents=True, exist_ok=True)
            install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "@modelcontextprotocol/server-memory"]
            subprocess.run(install, check=True, cwd=folder)

    @staticmethod
    @contextlib.asynccontextmanager
    async def client(kept, scratch):
        """Connect to it."""
        script = (
            kept / "server-memory" / "node_modules" / "@modelcontextprotocol" / "server-memory" / "dist" / "index.js"
        )
        environ = {**os.environ, "MEMORY_FILE_PATH": str(scratch / "memory.jsonl")}
        async with over_stdio("node", script, environ=environ) as client:
            yield client

    @staticmethod
    async def write(client, notes):
        """Write notes, as entities with one observation."""
        entities = [
            {"name": name_of(place), "entityType": "note", "observations": [f"{title}. {text}"]}
            for place, title, text in notes
        ]
        text_of(await client.call_tool("create_entities", {"entities": entities}))

    @staticmethod
    async def settle(client, count):
        """Nothing is left to do."""

    @staticmethod
    async def search(client, question):
        """Search for the longest word: it finds what a query is a part of, and a question is part of no text."""
        word = max(re.findall(r"\w+", question), key=len)
        return places_in(text_of(await client.call_tool("search_nodes", {"query": word})))


@contextlib.asynccontextmanager
async def over_stdio(command, *arguments, environ):
    """Connect to a program."""
    given = StdioServerParameters(command=str(command), args=[str(each) for each in arguments], env=environ)
    async with Client(stdio_client(given, errlog=subprocess.DEVNULL), mode="legacy") as client:
        yield client
