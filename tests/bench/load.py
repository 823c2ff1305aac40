"""Load from outside: wrk for rates, one slow prober for latencies, and what a process used."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.components.environments import serving

BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What a server did under load: requests a second, p50 and p99 in ms, its CPU in µs for each request."""

    rate: float
    p50: float
    p99: float
    cpu: float


def wrk(server, path, headers=None, *, seconds=4, connections=16):
    """Load one path of a server (`url`, `process`) and return what it did."""
    program = shutil.which("wrk")
    if program is None:
        sys.exit("make bench needs wrk (Debian: apt-get install wrk)")
    extra = [part for name, value in (headers or {}).items() for part in ("-H", f"{name}: {value}")]
    process = psutil.Process(server.process.pid)
    before = sum(process.cpu_times()[:2])
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *extra, server.url + path]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    used = sum(process.cpu_times()[:2]) - before
    if "Non-2xx" in said:
        sys.exit(f"{path} did not answer 200 to all:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said)[1])
    at = {name: float(n) * _UNITS[unit] for name, n, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", said)}
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Load(rate, at["50"], at["99"], used / requests * 1e6)


def median(loads, field):
    """Return the median of one figure over rounds."""
    return statistics.median(getattr(load, field) for load in loads)


def quantile(values, share):
    """Return the value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def probe(url, path, headers, until, pause=0.0):
    """Send one request after another on one connection until `until()`; return (start, ms) of each."""
    where = urllib.parse.urlsplit(url)
    lines = [f"GET {path} HTTP/1.1", f"Host: {where.netloc}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    request = "\r\n".join(lines).encode()
    taken = []
    while not until():
        with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(500):
                if until():
                    break
                start = time.perf_counter()
                connection.sendall(request)
                receive_answer(connection)
                taken.append((start, (time.perf_counter() - start) * 1000))
                time.sleep(pause)
    return taken


def receive_answer(connection):
    """Receive one answer that has its length."""
    answer, needed = b"", None
    while needed is None or len(answer) < needed:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection in the middle of an answer")
        answer += chunk
        if needed is None and b"\r\n\r\n" in answer:
            head = answer.partition(b"\r\n\r\n")[0]
            needed = len(head) + 4 + int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])


@contextlib.contextmanager
def node(data, *disabled, **environ):
    """Serve a node on this data folder, without some plugins."""
    environ = {"CLOUDOS_AUTH__BCRYPT_COST": "12", **environ}
    if disabled:
        environ["CLOUDOS_HOST__DISABLED"] = json.dumps(disabled)
    with serving([BIN / "cloudos", "serve", "--port", "0", "--data-dir", data], **environ) as server:
        yield server


@contextlib.contextmanager
def program(name, *arguments):
    """Serve by one of the bare programs beside this module."""
    with serving([sys.executable, PROGRAMS / f"{name}.py", *map(str, arguments)]) as server:
        yield server


def key_in(file, seconds=30):
    """Return the key that a program writes into a file once it is up."""
    end = time.monotonic() + seconds
    while not (file.exists() and file.read_text()):
        if time.monotonic() > end:
            sys.exit(f"no key came into {file}")
        time.sleep(0.05)
    return file.read_text()


def report(name, ratio, target, ours, raw):
    """Print one ratio, what it should be, and the two figures that it is of."""
    print(f"{name:58} {ratio:6.2f}  (target {target}; ours {ours}, bare {raw})", flush=True)
