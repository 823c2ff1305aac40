"""`memory_search` over MCP against two other memory servers: the same notes and queries.

Notes are written by the same client. The time of a search is from the bytes of its request to the last of its answer,
without a client, which over HTTP would cost more than over stdio.

`basic-memory` (PyPI) and `@modelcontextprotocol/server-memory` (npm) are installed into a folder that is thrown
away, or kept in `CLOUDOS_BENCH_CACHE`. They speak over stdio, we over HTTP. Notes and questions are those of
`retrieval`.
"""

from __future__ import annotations

import contextlib
import json
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
from tests.bench.mcp_calls import Caller
from tests.bench.memory_search import whole_answer
from tests.bench.retrieval import chosen, squad

NOTES, QUERIES, AT = 1000, 100, 10
NEW = "import sys; sys.exit(sys.version_info < (3, 12))"


async def main():
    """Print, for each of the peers, how many times as fast we are at p50, and the recall@10 of all."""
    paragraphs, questions = chosen(squad())
    notes, questions = paragraphs[:NOTES], [each for each in questions if each[1] < NOTES][:QUERIES]
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(os.environ.get("CLOUDOS_BENCH_CACHE", scratch))
        async with ours(Path(scratch)) as (client, wire):
            await fill(client, Ours, notes)
            mine = measure(wire, Ours, questions)
        print(f"ours: p50 {mine[0]:.1f} ms, recall@{AT} {mine[1]:.3f}", flush=True)
        for peer in (BasicMemory, ServerMemory):
            await anyio.to_thread.run_sync(peer.install, kept)
            command, environ = peer.program(kept, Path(scratch))
            async with over_stdio(command, environ) as client:
                await fill(client, peer, notes)
            with contextlib.closing(Lines(command, environ)) as wire:
                p50, recall = measure(wire, peer, questions)
            report(f"as fast as {peer.name}, p50", p50 / mine[0], ">= 5", f"{mine[0]:.1f} ms", f"{p50:.1f} ms")
            report(f"recall@{AT} against {peer.name}", mine[1] - recall, ">= 0", f"{mine[1]:.3f}", f"{recall:.3f}")


async def fill(client, peer, notes):
    """Write the notes, and wait until they can be found."""
    for start in range(0, len(notes), 50):
        await peer.write(client, [(place, *notes[place]) for place in range(start, min(len(notes), start + 50))])
    await peer.settle(client, len(notes))


def measure(wire, peer, questions):
    """Ask the questions one by one; return p50 in ms and the share of the paragraphs found."""
    taken, found = [], 0
    for question, place in questions:
        tool, arguments = peer.query(question)
        request = wire.request(tool, arguments)
        start = time.perf_counter()
        answer = wire.ask(request)
        taken.append((time.perf_counter() - start) * 1000)
        assert b'"isError":true' not in answer, answer[:500]
        found += place in places_in(answer.decode())[:AT]
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


class Lines:
    """A program that speaks MCP over stdio, a message a line."""

    def __init__(self, command, environ):
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._number = 0
        client = {"name": "bench", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.ask(self._message("initialize", params))
        self._process.stdin.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')

    def request(self, tool, arguments):
        """Return the bytes of a call."""
        return self._message("tools/call", {"name": tool, "arguments": arguments})

    def ask(self, request):
        """Send a request; return its answer."""
        self._process.stdin.write(request)
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if json.loads(line).get("id") == self._number:
                return line
        sys.exit("the program ended")

    def close(self):
        """End the program."""
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)

    def _message(self, method, params):
        self._number += 1
        return json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}).encode() + b"\n"


class Web:
    """Our node over HTTP."""

    def __init__(self, caller):
        self._caller, self._socket = caller, None

    def request(self, tool, arguments):
        """Return the bytes of a call; connect, before the first."""
        self._socket = self._socket or self._caller.socket()
        call = {"name": tool, "arguments": arguments}
        return self._caller.request({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})

    def ask(self, request):
        """Send a request; return its answer."""
        self._socket.sendall(request)
        return whole_answer(self._socket)


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
    def query(question):
        """Return the call of a search."""
        return "memory_search", {"query": question, "limit": AT}


@contextlib.asynccontextmanager
async def ours(scratch):
    """Run a node; yield a client, and the same without one."""
    key = scratch / "key"
    folder = scratch / "node" / "memory"
    folder.mkdir(parents=True)
    await MiniLM(folder).quantise()  # as a node has it from its first minute on
    with program("memory_node", scratch / "node", key) as node:
        raw = key_in(key)
        headers = {"Authorization": f"Bearer {raw}"}
        Ours.process = psutil.Process(node.process.pid)
        http = httpx2.AsyncClient(headers=headers, timeout=60)
        transport = streamable_http_client(f"{node.url}/mcp", http_client=http)
        async with http, Client(transport, mode="legacy") as client:
            yield client, Web(Caller(node, raw))


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
    def program(kept, scratch):
        """Return its command and its environment."""
        home = scratch / "basic-home"
        BasicMemory.folder = home / "notes" / "bench"
        BasicMemory.folder.mkdir(parents=True)
        environ = {**os.environ, "HOME": str(home), "BASIC_MEMORY_HOME": str(home / "notes")}
        return [str(kept / "basic-memory" / "bin" / "basic-memory"), "mcp"], environ

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
        while count - 1 not in places_in(text_of(await client.call_tool(*BasicMemory.query(name_of(count - 1))))):
            await anyio.sleep(2)
        await anyio.sleep(20)

    @staticmethod
    def query(question):
        """Return the call of a search."""
        return "search_notes", {"query": question, "page_size": AT}


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
    def program(kept, scratch):
        """Return its command and its environment."""
        package = kept / "server-memory" / "node_modules" / "@modelcontextprotocol" / "server-memory"
        environ = {**os.environ, "MEMORY_FILE_PATH": str(scratch / "memory.jsonl")}
        return ["node", str(package / "dist" / "index.js")], environ

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
    def query(question):
        """Return the call of a search for the longest word: it finds what a query is part of, as no question is."""
        word = max(re.findall(r"\w+", question), key=len)
        return "search_nodes", {"query": word}


@contextlib.asynccontextmanager
async def over_stdio(command, environ):
    """Connect to a program."""
    given = StdioServerParameters(command=command[0], args=command[1:], env=environ)
    async with Client(stdio_client(given, errlog=subprocess.DEVNULL), mode="legacy") as client:
        yield client
