"""An app's log lines and what it uses, as the engine has them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from cloudos_sdk import InvalidRequest, NotFound

from cloudos_apps.docker_engine import ContainerState, DockerEngine
from cloudos_apps.models import App
from cloudos_apps.schemas import LogLine, LogQuery, Logs, Stats
from cloudos_apps.store import AppStore

_MB = 2**20


class Observer:
    """Reads logs and statistics."""

    def __init__(self, engine: DockerEngine, store: AppStore, log: Any) -> None:
        self._engine = engine
        self._log = log
        self._store = store

    async def logs(self, app_id: str, query: LogQuery) -> Logs:
        """Return the newest lines of an app, oldest first. Raises NotFound for an app or service."""
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        lines: list[LogLine] = []
        for state in states:
            raw = await self._engine.call(_read, state.id, query.lines, since)
            lines += [parse_line(state.service, line) for line in raw.splitlines()]
        lines.sort(key=lambda line: line.timestamp)
        return Logs(app_id=app_id, lines=lines[-query.lines :] if query.lines else [])

    async def follow(self, app_id: str, query: LogQuery) -> AsyncIterator[bytes]:
        """Return a stream of lines as JSON, one a line: the newest, then those to come, until it is closed."""
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        return self._follow(states, query.lines, since)

    async def _follow(self, states: Sequence[ContainerState], tail: int, since: int | None) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(1000)
        closed = threading.Event()
        streams: list[Any] = []

        def put(item: bytes | None) -> None:
            """Hand over a line; wait while the reader is behind."""
            waiting = asyncio.run_coroutine_threadsafe(queue.put(item), loop)
            while not closed.is_set():
                with contextlib.suppress(TimeoutError):
                    waiting.result(timeout=0.5)
                    return
            waiting.cancel()

        def read(state: ContainerState) -> None:
            try:
                client = self._engine.connect(timeout=3600 * 24)
                stream = client.logs(
                    state.id,
                    stream=True,
                    follow=True,
                    timestamps=True,
                    tail=tail,
                    **({"since": since} if since else {}),
                )
                streams.append((client, stream))
                for line in _whole_lines(stream):
                    if closed.is_set():
                        break
                    put(orjson.dumps(parse_line(state.service, line).model_dump()) + b"\n")
            except Exception as error:  # noqa: BLE001 - a stream that breaks off ends; the client follows again
                self._log.info("a followed log ended", app=state.app, service=state.service, error=str(error))
            finally:
                put(None)

        threads = [threading.Thread(target=read, args=(s,), name="docker-logs", daemon=True) for s in states]
        for thread in threads:
            thread.start()
        left = len(threads)
        try:
            while left:
                item = await queue.get()
                if item is None:
                    left -= 1
                else:
                    while not queue.empty() and len(item) < 65536:
                        more = queue.get_nowait()
                        if more is None:
                            left -= 1
                        else:
                            item += more
                    yield item
        finally:
            closed.set()
            for client, stream in streams:
                with contextlib.suppress(Exception):
                    stream.close()
                    client.close()

    async def stats(self, app_id: str) -> Stats:
        """Return what an app uses now; zeros where it does not run. Takes about a second: the engine samples twice."""
        app = await self._store.get(app_id)
        states = [s for s in await self._engine.states(app_id) if s.generation == app.generation]
        running = [s for s in states if s.status == "running"]
        samples = await asyncio.gather(*(self._engine.call(_sample, s.id) for s in running))
        disk = await self._engine.call(_disk_bytes, app, [s.id for s in states])
        networks = [network for sample in samples for network in (sample.get("networks") or {}).values()]
        return Stats(
            app_id=app_id,
            cpu_percent=round(sum(cpu_percent(sample) for sample in samples), 2),
            memory_usage_mb=sum(_memory(sample["memory_stats"]) for sample in samples) // _MB,
            memory_limit_mb=sum(sample["memory_stats"].get("limit", 0) for sample in samples) // _MB,
            network_rx_bytes=sum(network["rx_bytes"] for network in networks),
            network_tx_bytes=sum(network["tx_bytes"] for network in networks),
            disk_usage_mb=disk // _MB,
        )

    async def _containers(self, app_id: str, service: str | None) -> list[ContainerState]:
        app = await self._store.get(app_id)
        states = [s for s in await self._engine.states(app_id) if s.generation == app.generation]
        if service is None:
            return states
        chosen = [state for state in states if state.service == service]
        if not chosen:
            names = ", ".join(sorted(state.service for state in states)) or "none"
            raise NotFound("service", service, message=f"{app.name} has no service {service!r}; it has {names}.")
        return chosen


def parse_line(service: str, line: bytes) -> LogLine:
    """Split the engine's line into its time and its text."""
    stamp, _, message = line.decode("utf-8", "replace").partition(" ")
    return LogLine(service=service, timestamp=stamp, message=message.rstrip("\r\n"))


def cpu_percent(sample: dict[str, Any]) -> float:
    """Return the share of one core that a container used between the two samples, in percent."""
    now, before = sample["cpu_stats"], sample["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cores = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or [1])
    return max(0.0, used / passed * cores * 100.0) if passed > 0 else 0.0


def _memory(stats: dict[str, Any]) -> int:
    cache = stats.get("stats", {})
    return max(0, int(stats.get("usage", 0)) - int(cache.get("inactive_file", cache.get("total_inactive_file", 0))))


def _read(client: Any, container: str, tail: int, since: int | None) -> bytes:
    extra = {"since": since} if since else {}
    lines: bytes = client.logs(container, tail=tail, timestamps=True, **extra)
    return lines


def _sample(client: Any, container: str) -> dict[str, Any]:
    sample: dict[str, Any] = client.stats(container, stream=False)
    return sample


def _disk_bytes(client: Any, app: App, containers: Sequence[str]) -> int:
    written = sum(
        int(found.get("SizeRw") or 0)
        for id in containers
        for found in client.containers(all=True, size=True, filters={"id": id})
    )
    names = set(orjson.loads(app.volumes))
    volumes = client.df().get("Volumes") or [] if names else []
    sizes = [int(v["UsageData"]["Size"]) for v in volumes if v["Name"] in names and v.get("UsageData")]
    return written + sum(max(0, size) for size in sizes)


def _whole_lines(chunks: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _moment(since: str | None) -> int | None:
    """Read seconds since 1970 or an ISO 8601 time. Raises InvalidRequest."""
    if since is None:
        return None
    if since.isascii() and since.isdigit() and len(since) < 12:
        return int(since)
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise InvalidRequest.field("since", "seconds since 1970, or a time such as 2025-01-15T10:30:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
