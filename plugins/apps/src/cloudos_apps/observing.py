"""An app's log lines, as the engine has them: the newest, and those to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import orjson
from cloudos_sdk import InvalidRequest, NotFound

from cloudos_apps.docker_engine import DockerEngine
from cloudos_apps.schemas import LogLine, LogQuery, Logs
from cloudos_apps.specs import ContainerState
from cloudos_apps.store import AppStore
from cloudos_apps.threaded_stream import ThreadedStream


class Observer:
    """Reads logs. Streams that are still open are ended by `close`."""

    def __init__(self, engine: DockerEngine, store: AppStore) -> None:
        self._engine = engine
        self._store = store
        self._open: set[ThreadedStream] = set()

    def close(self) -> None:
        """End every stream."""
        for stream in list(self._open):
            stream.close()

    async def logs(self, app_id: str, query: LogQuery) -> Logs:
        """Return the newest lines of an app, oldest first. Raises NotFound for an app or service."""
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        lines: list[LogLine] = []
        for state in states:
            raw = await self._engine.logs(state.id, query.lines, since)
            lines += [parse_line(state.service, line) for line in raw.splitlines()]
        lines.sort(key=lambda line: line.timestamp)
        return Logs(app_id=app_id, lines=lines[-query.lines :] if query.lines else [])

    async def follow(self, app_id: str, query: LogQuery) -> AsyncIterator[bytes]:
        """Return a stream of lines as JSON, one a line: the newest, then those to come, until all containers end."""
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        return self._follow(states, query.lines, since)

    async def _follow(self, states: Sequence[ContainerState], tail: int, since: int | None) -> AsyncIterator[bytes]:
        """Merge the containers' logs. Left by the client or by the end of the plugin, it closes them."""
        lines: asyncio.Queue[LogLine | None] = asyncio.Queue(200)
        streams = [self._engine.follow_logs(state.id, tail, since) for state in states]
        self._open.update(streams)

        async def read(service: str, stream: ThreadedStream) -> None:
            rest = b""
            try:
                async for chunk in stream:
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        await lines.put(parse_line(service, line))
            finally:
                if rest:
                    await lines.put(parse_line(service, rest))
                await lines.put(None)

        readers = [
            asyncio.create_task(read(state.service, stream)) for state, stream in zip(states, streams, strict=True)
        ]
        left = len(readers)
        try:
            while left:
                batch = [await lines.get()]
                while not lines.empty():
                    batch.append(lines.get_nowait())
                left -= batch.count(None)
                if found := [orjson.dumps(line.model_dump()) + b"\n" for line in batch if line is not None]:
                    yield b"".join(found)
        finally:
            for stream in streams:
                stream.close()
                self._open.discard(stream)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

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
