"""An authenticated GET against a bare Quart handler, all plugins against `auth` alone, others beside a login."""

from __future__ import annotations

import json
import tempfile
import threading
import time

from tests.bench.load import median, node, probe, program, quantile, report, wrk
from tests.components.environments import WHO

ROUNDS, SECONDS = 12, 2  # many short ones, since the machine is faster at one time than at another
ME = "/api/auth/me"


def main():
    """Print the ratios."""
    others = without_sign_in()
    with (
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as small,
        node(data) as full,
        node(small, *others) as lean,
    ):
        signed = {server: {"Authorization": f"Bearer {server.sign_in()}"} for server in (full, lean)}
        _, body = full.request("GET", ME)
        with program("bare_quart", json.dumps(body)) as bare:
            signed[bare] = signed[full]  # the same request to both; the bare one does not look at its token
            rounds = {full: [], lean: [], bare: []}
            for server in rounds:
                wrk(server, ME, signed[server], seconds=1)
            for number in range(ROUNDS):
                order = list(rounds) if number % 2 else list(reversed(rounds))
                for server in order:
                    rounds[server].append(wrk(server, ME, signed[server], seconds=SECONDS))
        rates = {server: median(loads, "rate") for server, loads in rounds.items()}
        cpus = {server: median(loads, "cpu") for server, loads in rounds.items()}
        tails = {server: median(loads, "p99") for server, loads in rounds.items()}
        report("GET /api/auth/me, requests a second to bare Quart", rates[full] / rates[bare], ">= 1.0",
               f"{rates[full]:.0f}", f"{rates[bare]:.0f}")  # fmt: skip
        report("GET /api/auth/me, CPU of a request to bare Quart", cpus[full] / cpus[bare], "<= 1.0",
               f"{cpus[full]:.0f} µs", f"{cpus[bare]:.0f} µs")  # fmt: skip
        report("GET /api/auth/me, p99 to bare Quart", tails[full] / tails[bare], "<= 0.5",
               f"{tails[full]:.1f} ms", f"{tails[bare]:.1f} ms")  # fmt: skip
        report("all plugins to auth alone, requests a second", rates[full] / rates[lean], ">= 0.97",
               f"{rates[full]:.0f}", f"{rates[lean]:.0f}")  # fmt: skip
        report("all plugins to auth alone, CPU of a request", cpus[full] / cpus[lean], "<= 1.03",
               f"{cpus[full]:.0f} µs", f"{cpus[lean]:.0f} µs")  # fmt: skip
        during_logins(full, signed[full])


def without_sign_in():
    """Return the ids of all plugins but `auth`."""
    from cloudos_host.plugins.discovery import discover

    return [found.id for found in discover() if found.id != "auth"]


def during_logins(server, headers, logins=15):
    """Print how much longer others wait at p99 while a bcrypt login is in flight."""
    windows, done = [], threading.Event()

    def sign_in():
        try:
            time.sleep(2)
            for _ in range(logins):
                start = time.perf_counter()
                status, body = server.request("POST", "/api/auth/login", WHO)
                assert status == 200, f"a login was answered {status} {body}"
                windows.append((start, time.perf_counter()))
                time.sleep(0.1)
        finally:
            done.set()

    thread = threading.Thread(target=sign_in)
    thread.start()
    taken = probe(server.url, ME, headers, done.is_set, pause=0.002)
    thread.join()
    inside = [ms for start, ms in taken if any(a <= start <= b for a, b in windows)]
    outside = [ms for start, ms in taken if not any(a <= start <= b for a, b in windows)]
    ours, raw = quantile(inside, 0.99), quantile(outside, 0.99)
    report(
        "a login in flight: others' p99, ms more than without", ours - raw, "<= 10", f"{ours:.1f} ms", f"{raw:.1f} ms"
    )
