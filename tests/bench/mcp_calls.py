"""A tool call over MCP against the same call on a bare server of the MCP library; what an idle session keeps."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import tempfile
import time
import urllib.parse
from pathlib import Path

import psutil

from tests.bench.load import key_in, program, report

CALLS, ROUNDS, SESSIONS = 400, 5, 200
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def main():
    """Print the ratio of CPU and of latency, and the memory of a session."""
    with served() as (ours, raw):
        for caller in (ours, raw):
            caller.round()
        rounds = [(ours.round(), raw.round()) for _ in range(ROUNDS)]
        pick = [statistics.median(r[side][figure] for r in rounds) for figure in (0, 1) for side in (0, 1)]
        cpu, bare_cpu, p50, bare_p50 = pick
        report("a tool call, CPU", cpu / bare_cpu, "<= 1.25", f"{cpu:.0f} us", f"{bare_cpu:.0f} us")
        report("a tool call, p50", p50 / bare_p50, "<= 1.25", f"{p50:.2f} ms", f"{bare_p50:.2f} ms")
    for name, streams in (("an idle session", False), ("an idle session with a stream open", True)):
        with served() as (ours, raw):  # anew: what other sessions left behind would be used again
            for caller in (ours, raw):
                caller.round()
            kept, bare_kept = sessions(ours, streams=streams), sessions(raw, streams=streams)
            report(f"{name}, KB", kept / bare_kept, "< 100 KB", f"{kept:.0f}", f"{bare_kept:.0f}")


@contextlib.contextmanager
def served():
    """Serve a node and a bare server; yield a client of each."""
    with tempfile.TemporaryDirectory() as data:
        key = Path(data) / "key"
        with program("mcp_node", Path(data) / "node", key) as node, program("bare_mcp") as bare:
            yield Caller(node, key_in(key)), Caller(bare, None)


class Caller:
    """One client with one session."""

    def __init__(self, server, bearer):
        self.server = server
        self.where = urllib.parse.urlsplit(server.url).netloc
        self.headers = {**HEADERS, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        self.connection = http.client.HTTPConnection(self.where, timeout=60)
        self.headers["Mcp-Session-Id"] = self.initialize()
        self.headers["Mcp-Protocol-Version"] = "2025-11-25"
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def initialize(self):
        """Open a session and return its name."""
        client = {"name": "bench", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        headers = {name: value for name, value in self.headers.items() if not name.startswith("Mcp")}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        self.connection.request("POST", "/mcp", json.dumps(message), headers)
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        return answer.headers["Mcp-Session-Id"]

    def post(self, message):
        """Send a message and return the answer's body."""
        self.connection.request("POST", "/mcp", json.dumps(message), self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status < 300, f"{answer.status} {body[:300]}"
        return body

    def socket(self):
        """Return a connection on which requests are sent as they are."""
        return socket.create_connection(tuple(self.where.split(":")), timeout=60)

    def request(self, message):
        """Return the bytes of a message's request."""
        body = json.dumps(message).encode()
        headers = {"Host": self.where, **self.headers, "Content-Length": len(body)}
        lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    def round(self):
        """Call the tool again and again; return CPU in us and the median latency in ms of a call."""
        self.connection.close()  # it may have idled for too long
        call = {"name": "bench_echo", "arguments": {"text": "hello"}}
        process = psutil.Process(self.server.process.pid)
        before, took = sum(process.cpu_times()[:2]), []
        for number in range(1, CALLS + 1):
            start = time.perf_counter()
            body = self.post({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
            took.append((time.perf_counter() - start) * 1000)
            assert b"hello" in body
        return (sum(process.cpu_times()[:2]) - before) / CALLS * 1e6, statistics.median(took)


def sessions(caller, *, streams):
    """Open sessions, with a stream each or without, and return the KB that one keeps."""
    caller.connection.close()
    process, opened = psutil.Process(caller.server.process.pid), []
    for number in range(SESSIONS + 20):
        if number == 20:
            time.sleep(1)
            before = process.memory_info().rss
        headers = {**caller.headers, "Mcp-Session-Id": caller.initialize()}
        if not streams:
            continue
        lines = [f"GET /mcp HTTP/1.1\r\nHost: {caller.where}", *(f"{k}: {v}" for k, v in headers.items()), "\r\n"]
        stream = socket.create_connection(tuple(caller.where.split(":")), timeout=30)
        stream.sendall("\r\n".join(lines).encode())
        assert b"200" in stream.recv(65536).split(b"\r\n")[0]
        opened.append(stream)
    time.sleep(2)
    kept = (process.memory_info().rss - before) / SESSIONS / 1024
    for stream in opened:
        stream.close()
    return kept
