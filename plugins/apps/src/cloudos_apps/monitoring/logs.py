"""An app's log lines, as the engine has them: the newest, and those to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial

import orjson
from cloudos_sdk import InvalidRequest, NotFound, TooManyRequests, principal

from cloudos_apps.engine.client import DockerEngine
from cloudos_apps.engine.log_lines import MOST_BYTES, parse_line
from cloudos_apps.engine.specs import ContainerState
from cloudos_apps.engine.threaded_stream import ThreadedStream
from cloudos_apps.schemas import LogLine, LogQuery, Logs
from cloudos_apps.store import AppStore

_MOST_FOLLOWED = 40


class LogReader:
    """Reads logs. Streams that are still open are ended by `close`."""

    def __init__(self, engine: DockerEngine, store: AppStore) -> None:
        self._engine = engine
        self._store = store
        self._open: dict[ThreadedStream, str] = {}

    def close(self) -> None:
        """End every stream."""
        for stream in list(self._open):
            stream.close()

    async def logs(self, app_id: str, query: LogQuery) -> bytes:
        """Return the newest lines of an app as JSON, oldest first. Raises NotFound for an app or service."""
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        hidden = self._store.hidden(await self._store.get(app_id))
        found = await asyncio.gather(*(self._engine.logs(state.id, query.lines, since) for state in states))
        if not query.lines:
            return _dump([], app_id)
        return await asyncio.to_thread(_merged, app_id, states, found, query.lines, hidden)

    async def follow(self, app_id: str, query: LogQuery) -> AsyncIterator[bytes]:
        """Return a stream of lines as JSON, one a line: the newest, then those to come, until all containers end.

        Raises TooManyRequests for who follows `_MOST_FOLLOWED` containers already: each takes a thread.
        """
        if self._full(principal().id):
            message = f"You follow {_MOST_FOLLOWED} logs already. Close some of them first."
            raise TooManyRequests(message, code="too_many_streams", retry_after=5)
        states, since = await self._containers(app_id, query.service), _moment(query.since)
        hidden = self._store.hidden(await self._store.get(app_id))
        return self._follow(states, query.lines, since, hidden, principal().id)

    async def _follow(
        self, states: Sequence[ContainerState], tail: int, since: int | None, hidden: Sequence[str], who: str
    ) -> AsyncIterator[bytes]:
        """Merge the containers' logs. Left by the client or by the end of the plugin, it closes them."""
        if self._full(who):
            return  # others that were asked for at the same time are there by now
        lines: asyncio.Queue[bytes | None] = asyncio.Queue(200)
        streams = [self._engine.follow_logs(s.id, tail, since, partial(_as_json, s.service, hidden)) for s in states]
        self._open.update(dict.fromkeys(streams, who))

        async def read(stream: ThreadedStream) -> None:
            try:
                async for line in stream:
                    await lines.put(line)
            finally:
                await lines.put(None)

        readers = [asyncio.create_task(read(stream)) for stream in streams]
        left = len(readers)
        try:
            while left:
                batch = [await lines.get()]
                while not lines.empty():
                    batch.append(lines.get_nowait())
                left -= batch.count(None)
                if found := [line for line in batch if line is not None]:
                    yield b"".join(found)
        finally:
            for stream in streams:
                stream.close()
                self._open.pop(stream, None)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    def _full(self, who: str) -> bool:
        return list(self._open.values()).count(who) >= _MOST_FOLLOWED

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


def _merged(
    app_id: str,
    states: Sequence[ContainerState],
    found: Sequence[Sequence[tuple[bytes, int]]],
    count: int,
    hidden: Sequence[str],
) -> bytes:
    """Return the answer of all containers' lines, in the order of their times, `MOST_BYTES` of them at most."""
    pairs = zip(states, found, strict=True)
    lines = [parse_line(state.service, line, left_out, hidden) for state, given in pairs for line, left_out in given]
    lines.sort(key=lambda line: line.timestamp)
    kept, size = [], 0
    for line in reversed(lines[-count:]):
        size += len(line.message)
        if size > MOST_BYTES:
            break
        kept.append(line)
    return _dump(kept[::-1], app_id)


def _dump(lines: Sequence[LogLine], app_id: str) -> bytes:
    """Return the answer of log lines as JSON."""
    return Logs(app_id=app_id, lines=list(lines)).model_dump_json().encode()


def _as_json(service: str, hidden: Sequence[str], line: bytes, left_out: int) -> bytes:
    return orjson.dumps(parse_line(service, line, left_out, hidden).model_dump()) + b"\n"


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
