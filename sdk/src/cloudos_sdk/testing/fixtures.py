"""The pytest plugin: `host = await cloudos("vpn", settings={"vpn": {...}})` runs plugins in a temporary folder."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cloudos_sdk import Envelope
from cloudos_sdk.capabilities import Authenticator
from cloudos_sdk.context import enter_context
from cloudos_sdk.testing.described import AnswerCheck
from cloudos_sdk.testing.fakes import FakeAuthenticator, providing
from cloudos_sdk.testing.network import loopback_only


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._start = datetime(2026, 1, 1, tzinfo=UTC)
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """Return the held time."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Return the seconds moved so far."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Wait until a test has moved the time by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.Event()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), wake))
        await wake.wait()

    async def advance(self, seconds: float) -> None:
        """Advance the time and wake sleepers in order."""
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, wake = heapq.heappop(self._sleepers)
            self._passed = max(self._passed, due)
            wake.set()
            await asyncio.sleep(0.01)
        self._passed = end
        await asyncio.sleep(0.01)

    def set_back(self, seconds: float) -> None:
        """Set the time of day back, as an administrator corrects a fast clock; `monotonic` continues."""
        self._start -= timedelta(seconds=seconds)

    async def leap(self, seconds: float) -> None:
        """Move the time in one step, as after a suspend: each sleeper wakes once, at the end."""
        self._passed += seconds
        await self.advance(0)


class Client:
    """An in-process client that sends one bearer."""

    def __init__(self, app: Any, bearer: str | None) -> None:
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}

    async def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request; `json`, `data`, `headers` as in Quart's test client."""
        headers = {**self._headers, **kwargs.pop("headers", {})}
        return await self._client.open(path, method=method, headers=headers, **kwargs)

    async def get(self, path: str, **kwargs: Any) -> Any:
        """Send a GET."""
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> Any:
        """Send a POST."""
        return await self.request("POST", path, **kwargs)

    async def put(self, path: str, **kwargs: Any) -> Any:
        """Send a PUT."""
        return await self.request("PUT", path, **kwargs)

    async def patch(self, path: str, **kwargs: Any) -> Any:
        """Send a PATCH."""
        return await self.request("PATCH", path, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> Any:
        """Send a DELETE."""
        return await self.request("DELETE", path, **kwargs)


class RunningHost:
    """A host under test."""

    def __init__(self, make: Callable[[], Any], clock: FakeClock, database_url: str | None = None) -> None:
        self._make = make
        self.database_url = database_url
        self.clock = clock
        self.host: Any = None
        self.misfits: list[str] = []

    async def start(self, *, whole: bool = True) -> None:
        """Boot the host and make its clients; without `whole` only the required plugins."""
        self.host = self._make()
        self.host.app.asgi_app = self.check = AnswerCheck(self.host.app)
        await (self.host.boot() if whole else self.host.boot_required())
        self.client = self.admin = Client(self.host.app, "admin")
        self.operator = Client(self.host.app, "operator")
        self.viewer = Client(self.host.app, "viewer")
        self.anonymous = Client(self.host.app, None)

    async def stop(self) -> None:
        """Stop it."""
        if self.host is not None:
            self.misfits += self.check.misfits
            await self.host.shutdown()
            self.host = None

    async def restart(self) -> None:
        """Stop it and boot it again on the same data."""
        await self.stop()
        await self.start()

    def record(self, plugin_id: str) -> Any:
        """Return the host's record of a plugin."""
        return next(r for r in self.host.records if r.id == plugin_id)

    def state(self, plugin_id: str) -> str:
        """Return the state of a plugin."""
        return str(self.record(plugin_id).state.value)

    async def event_log(self) -> list[Envelope]:
        """Return every stored event, oldest first."""
        events: list[Envelope] = []
        while batch := await self.host.events.after(events[-1].seq if events else 0):
            events += batch
        return events

    def ctx(self, plugin_id: str) -> Any:
        """Return a plugin's context."""
        return self.record(plugin_id).context

    async def run_job(self, plugin_id: str, name: str) -> None:
        """Run a plugin's job once; raises its exception."""
        record = self.record(plugin_id)
        job = next(job for job in record.jobs if job.name == name)

        async def run() -> None:
            enter_context(record.context)
            await job.run(record.context)

        await asyncio.create_task(run())

    def schema_differences(self, plugin_id: str) -> list[Any]:
        """Return the differences between a plugin's models and the tables that its migrations made."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        metadata = self.record(plugin_id).manifest.tables.metadata
        prefix = plugin_id.replace("-", "_") + "_"

        with self.host.db.write_engine.connect() as connection:
            beside = _index_tables(connection)

            def own(name: str | None, kind: str, parents: Any) -> bool:
                made = str(name).startswith(prefix) and not str(name).endswith("_alembic_version")
                return kind != "table" or (made and not str(name).startswith(beside))

            context = MigrationContext.configure(connection, opts={"include_name": own, "compare_type": True})
            return list(compare_metadata(context, metadata))


def _index_tables(connection: Any) -> tuple[str, ...]:
    """Return the names of SQLite's virtual tables, whose shadow tables have no model."""
    if connection.dialect.name != "sqlite":
        return ()
    made = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
    return tuple(connection.exec_driver_sql(made).scalars())


def _fresh_database(server: str) -> str:
    """Make an empty database on the PostgreSQL server of the tests and return its URL."""
    from sqlalchemy import create_engine, make_url, text

    name = f"cloudos_test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _drop_database(server: str, url: str | None) -> None:
    from sqlalchemy import create_engine, make_url, text

    name = make_url(url).database if url else None
    if name is None or not name.startswith("cloudos_test_"):
        return
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
async def cloudos(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[RunningHost]]]:
    """Run plugins, by id or as modules, in a temporary folder, without a network; stopped at the end of the test."""
    from cloudos_host.config import Config, HostSettings
    from cloudos_host.host import Host
    from cloudos_host.plugins.discovery import DiscoveredPlugin, discover, given

    hosts: list[RunningHost] = []
    made: list[str] = []
    server = os.environ.get("CLOUDOS_HOST__DATABASE_URL")

    async def run(
        *plugins: str | ModuleType | DiscoveredPlugin,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        **host_settings: Any,
    ) -> RunningHost:
        installed = {found.id: found for found in discover()}
        found = []
        for plugin in plugins:
            if isinstance(plugin, str):
                found.append(installed[plugin])
            elif isinstance(plugin, DiscoveredPlugin):
                found.append(plugin)
            else:
                found.append(given(plugin.__name__.rsplit(".", 1)[-1], plugin))
        if "auth" not in [f.id for f in found]:
            found.append(given("fake_sign_in", providing(Authenticator, FakeAuthenticator())))
        clock = FakeClock()
        if server is not None:
            if "database_url" not in host_settings:
                if not made:  # one for the test, as there is one folder: they belong together
                    made.append(_fresh_database(server))
                host_settings["database_url"] = made[0]
            host_settings.setdefault("database_readers", 1)
        base = HostSettings(data_dir=tmp_path / "data", required=(), **host_settings)
        config = Config(base, settings or {}, "the test")
        running = RunningHost(lambda: Host(config, found=found, clock=clock), clock, base.database_url)
        hosts.append(running)
        await running.start()
        return running

    with loopback_only():
        yield run
        for host in hosts:
            await host.stop()
        for url in made:
            _drop_database(str(server), url)
        misfits = [misfit for host in hosts for misfit in host.misfits]
        if misfits:
            pytest.fail("answers that /openapi.json does not foresee:\n" + "\n".join(misfits), pytrace=False)
