"""The host: loads the plugins, serves them, and stops them in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import time, timedelta
from functools import partial
from typing import Any

from cloudos_sdk import Job
from cloudos_sdk.capabilities import (
    Authenticator,
    BearerAuthenticator,
    OwnProxy,
    PermissionCatalogue,
    PluginCatalogue,
    Sessions,
    Users,
)
from cloudos_sdk.policy import policy_of

from cloudos_host import __version__, logs
from cloudos_host.config import Config, nearest, unknown_sections
from cloudos_host.containment import Faults
from cloudos_host.data import operations, schema_upgrade
from cloudos_host.data.database_failure import refusal
from cloudos_host.data.encryption import PluginSecrets
from cloudos_host.data.operations import PluginOperations
from cloudos_host.data.outbox import PluginEvents
from cloudos_host.http import host_api
from cloudos_host.http.app import describe, guard, make_app
from cloudos_host.http.gate import Endpoint, Gate
from cloudos_host.http.library_versions import fast_path_wanted
from cloudos_host.http.mounts import Mounts
from cloudos_host.http.open_responses import OpenResponses
from cloudos_host.http.openapi_cache import OpenApiCache
from cloudos_host.http.permissions import PermissionTable
from cloudos_host.http.sse import EventStreams
from cloudos_host.node import HostError, Node
from cloudos_host.plugins import jobs
from cloudos_host.plugins.api_socket import ApiSocket
from cloudos_host.plugins.context import Capabilities, PluginContext, SystemClock
from cloudos_host.plugins.contributions import PluginTable
from cloudos_host.plugins.discovery import DiscoveredPlugin, discover
from cloudos_host.plugins.health import HealthChecks
from cloudos_host.plugins.license import PlanLicense
from cloudos_host.plugins.lifespans import Lifespans
from cloudos_host.plugins.loader import PluginLoader
from cloudos_host.plugins.registry import BootPhase, PluginRecord, PluginState, owner
from cloudos_host.plugins.startup_crash_log import StartupCrashLog
from cloudos_host.tasks import PluginTasks

_TELLS_OF_ALL = ("/openapi.json",)


class Host:
    """One node. `boot()` before, `shutdown()` after serving `app`."""

    def __init__(
        self, config: Config, *, found: Sequence[DiscoveredPlugin] | None = None, clock: Any = None, safe: bool = False
    ) -> None:
        self.config = config
        self.settings = config.host
        self.clock = clock or SystemClock()
        self.log = logs.logger()
        self.capabilities = Capabilities()
        self.licence = PlanLicense(self.capabilities.find)
        self.permissions = PermissionTable()
        self.app = make_app(self.log, self.settings.max_body)
        self.app.fast_path = fast_path_wanted(self.settings.fast_path, self.log)
        self.description = OpenApiCache(self.app)
        self.host_record = PluginRecord(
            DiscoveredPlugin("host", "cloudos_host.http.host_api", "cloudos-host", __version__),
            state=PluginState.RUNNING,
        )
        self.host_record.manifest, self.host_record.prefixes = host_api.manifest, host_api.manifest.prefixes
        self.records = [self._judge(plugin, safe) for plugin in (discover() if found is None else found)]
        self.gate = Gate(
            [self.host_record, *self.records],
            self.licence,
            self.permissions,
            lambda: self.capabilities.find(Authenticator),
            lambda: self.capabilities.all(BearerAuthenticator),
            lambda: self.capabilities.find(OwnProxy),
            lambda: self.capabilities.find(Sessions),
            max_body=self.settings.max_body,
            trust_proxy=self.settings.trust_proxy,
        )
        guard(self.app, self.gate)
        self.app.open_answers = OpenResponses(self.gate.readmits, self.settings.streams_per_user, self.log)
        self.mounts = Mounts(self.app.asgi_app, self.gate, self.app.open_answers, self.settings.max_body, self.log)
        self.app.asgi_app = self.mounts  # type: ignore[method-assign] # Quart's own way to wrap it
        self.api_socket = ApiSocket()
        self.node = Node(self.settings, self.clock, self.log)
        self.lifespans: Lifespans | None = None
        self._end_streams: Callable[[], None] = lambda: None
        self._snapshot_taken = False

    def _judge(self, plugin: DiscoveredPlugin, safe: bool) -> PluginRecord:
        record = PluginRecord(plugin)
        if plugin.error is not None:
            record.fail(BootPhase.DISCOVER, plugin.error)
            record.prefixes = plugin.prefixes
        elif plugin.id in self.settings.disabled or (safe and plugin.id not in self.settings.required):
            record.state = PluginState.DISABLED
            record.reason = "disabled by the settings" if not safe else "the host runs in safe mode"
            record.prefixes = plugin.prefixes
        return record

    async def boot(self) -> None:
        """Start everything. Raises HostError if a required plugin fails."""
        await self.boot_required()
        await self.boot_rest()

    async def boot_required(self) -> None:
        """Start the required plugins; all plugins if the last boot had others.

        Raises HostError where a required plugin fails, or the machine does.
        """
        try:
            await self._boot_required()
        except Exception as error:
            refused = self.node.refused(error)
            if refused is None:
                raise
            raise refused from error

    async def _boot_required(self) -> None:
        installed = [record.id for record in self.records]
        for warning in unknown_sections(self.config, installed):
            self.log.warning(warning)
        self.node.take_lock()
        self.open(begin=True)
        notes = self.notes = StartupCrashLog(self.settings.data_dir, self.log, self.clock.now())
        for record in self.records:
            if record.alive and record.id not in self.settings.required and notes.suspicious(record.id):
                record.state, record.blamed = PluginState.DISABLED, True
                record.reason = (
                    "the host crashed twice while starting it; `cloudos plugins enable "
                    f"{record.id}` has the next start try it again, and so does an hour"
                )
                self.log.error("plugin is disabled", plugin=record.id, reason=record.reason)
            if not record.alive:
                record.prefixes = notes.prefixes_of(record.found)
        self.loader = PluginLoader(self.records, self.config, notes, self.log, host_api.manifest)
        self.lifespans = Lifespans(self.loader.call, notes, self.settings, self.log)
        first = [record for record in self.records if record.id in self.settings.required]
        self.loader.load(first)
        if notes.versions != self._versions() or not self.loader.complete(first):
            self.loader.load([record for record in self.records if record not in first])
        ordered = self.loader.order()
        await asyncio.to_thread(self.migrate, [self.host_record, *ordered])
        self.host_record.context = self.context_of(self.host_record)
        self.capabilities.add("host", PermissionCatalogue, self.permissions)
        self.capabilities.add("host", PluginCatalogue, PluginTable(self.host_record, self.records))
        self._register(self.host_record, [host_api.routes(self)])
        self.host_record.context.tasks.start("events of other processes", self.events.poll)
        await self._start(ordered)
        self._require()
        users = self.capabilities.find(Users)
        if users is not None:
            users.watch(self.app.open_answers.changed)
        self.host_record.context.tasks.start("sweep of open answers", self.app.open_answers.sweep)
        for record in self.records:
            if record.state is PluginState.PENDING:
                record.prefixes = tuple(notes.prefixes.get(record.id, ()))
                self.mounts.await_startup = self._await_startup

    async def boot_rest(self) -> None:
        """Take up the plugins that `boot_required` left; meanwhile requests to them wait."""
        rest = [record for record in self.records if record.state is PluginState.PENDING]
        if rest:
            await asyncio.to_thread(self.loader.load, rest)
            ordered = self.loader.order()
            await asyncio.to_thread(self.migrate, ordered)
            await self._start(ordered)
        self.mounts.await_startup = None
        self.notes.completed(self._versions())
        self.health = HealthChecks(self.host_record, self.records, self.loader.call, self.node)
        self.host_record.context.tasks.start("health", self.health.run)
        if (lock := self.node.database_lock) is not None:
            self.host_record.context.tasks.start("lock on the database", partial(lock.keep, self.db))
        self.host_record.context.tasks.start(
            "job prune", partial(jobs.supervise, self.host_record.context, self._prune, self.db)
        )

    def _versions(self) -> dict[str, str]:
        return {record.id: record.found.version for record in self.records if record.state is not PluginState.DISABLED}

    async def _await_startup(self, path: str) -> None:
        """Wait while the plugin that a path belongs to is still on its way up."""
        while self.mounts.await_startup is not None:
            record = owner([self.host_record, *self.records], path)
            if record is not None and record.state is not PluginState.PENDING and path not in _TELLS_OF_ALL:
                return
            await asyncio.sleep(0.01)

    async def _start(self, ordered: Sequence[PluginRecord]) -> None:
        for record in ordered:
            if record.alive and record.manifest is not None:
                self.permissions.declare(record.manifest.permissions)
                self.licence.declare(record.manifest.features)
                record.context = self.context_of(record)
                self._register(record, record.blueprints)
                for mount in record.mounts:
                    self.mounts.add(record, mount)
                    self.app.routes_changed += 1
        for record in ordered:
            if record.alive and self.lifespans is not None:
                await self.lifespans.start(record)

    def open(self, *, begin: bool = False) -> None:
        """Open the database and the key of the data folder, as `Node.open`."""
        self.node.open(begin=begin)
        self.db, self.events, self.streams = self.node.db, self.node.events, EventStreams(self.node.events)
        self._end_streams = self.streams.close

    @property
    def _prune(self) -> Job:
        """The daily job that deletes what is older than `host.event_days`."""

        async def prune(ctx: Any) -> None:
            before = self.clock.now() - timedelta(days=self.settings.event_days)
            await self.events.prune(before, [record.id for record in self.records])
            await operations.prune(self.db, before)
            await jobs.prune(self.db, before)

        return Job(name="prune", daily=time(3, 30), run=prune)

    def _require(self) -> None:
        for id in self.settings.required:
            record = next((r for r in self.records if r.id == id), None)
            if record is None:
                raise HostError(self.missing(id))
            if record.state is not PluginState.RUNNING:
                raise HostError(
                    f"the required plugin {id!r} is {record.state.value} at {record.phase.value}: {record.reason}"
                )

    def missing(self, id: str) -> str:
        """Return the message for a required plugin that is not installed."""
        like = nearest(id, [record.id for record in self.records])
        return f"the required plugin {id!r} is not installed{like or f'; install cloudos-{id}'}"

    def migrate(self, todo: Sequence[PluginRecord]) -> None:
        """Bring the tables of these up to date, after a snapshot."""
        packages = {"host": "cloudos_host.migrations"}
        packages |= {r.id: r.manifest.migrations for r in todo if r.manifest and r.manifest.migrations}
        for record in todo:
            package = packages.get(record.id)
            if package is None:
                continue
            try:
                with self.db.write_engine.connect() as connection:
                    old = schema_upgrade.applied(connection, "host") is not None
                    pending = schema_upgrade.pending(connection, record.id, package)
                if pending and old and not self._snapshot_taken:
                    schema_upgrade.snapshot(
                        self.db.write_engine, self.settings.data_dir / "snapshots", self.clock.now()
                    )
                    self._snapshot_taken = True
                if pending:
                    schema_upgrade.upgrade(self.db.write_engine, record.id, package)
                if record is self.host_record:
                    self.node.remember()
            except BaseException as error:
                if record is self.host_record:
                    raise self.node.refused(error) or HostError(
                        f"the host's tables cannot be upgraded: {error}"
                    ) from error
                record.fail(BootPhase.MIGRATE, refusal(error) or error)
                self.log.error("plugin failed", plugin=record.id, phase="migrate", reason=record.reason)

    def context_of(self, record: PluginRecord) -> PluginContext:
        """Return a plugin's context; the host is open."""
        manifest = record.manifest
        log = self.log.bind(plugin=record.id)
        operations, tasks = PluginOperations(self.db, self.log), PluginTasks(self.clock, log)
        faults = Faults(self.clock)
        context = PluginContext(
            id=record.id,
            settings=record.settings,
            folder=self.settings.data_dir / record.id,
            log=log,
            db=self.db,
            events=PluginEvents(self.events, record.id, manifest.emits if manifest else (), tasks, faults),
            licence=self.licence,
            operations=operations,
            tasks=tasks,
            secrets=PluginSecrets(self.node.key, record.id),
            clock=self.clock,
            capabilities=self.capabilities,
            provides=manifest.provides if manifest else (),
            listener=self.api_socket,
            faults=faults,
        )
        operations.context = tasks.context = context
        if record is self.host_record:
            self.permissions.declare(host_api.manifest.permissions)
        return context

    def _register(self, record: PluginRecord, blueprints: Sequence[Any]) -> None:
        for blueprint in blueprints:
            name = f"{record.id}:{blueprint.name}"
            self.app.register_blueprint(blueprint, name=name)
            for endpoint, view in self.app.view_functions.items():
                if endpoint.startswith(f"{name}."):
                    self.gate.endpoints[endpoint] = Endpoint(record, policy_of(view))
            if record.manifest is not None and record.manifest.root:
                rules = [rule for rule in self.app.url_map.iter_rules() if rule.rule == "/"]
                self.app.root_rule = next((r for r in rules if r.endpoint.startswith(f"{name}.")), self.app.root_rule)

    def describe(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return describe(self.app)

    def describe_unserved(self, records: Iterable[PluginRecord]) -> dict[str, Any]:
        """Return the OpenAPI document of plugins that were loaded but not started."""
        self._register(self.host_record, [host_api.routes(self)])
        for record in records:
            self._register(record, record.blueprints)
        return self.describe()

    async def shutdown(self) -> None:
        """Stop everything in reverse order; a step that fails is logged and does not keep the others from running."""
        self._end_streams()
        steps: list[Callable[[], Awaitable[None]]] = []
        if self.host_record.context is not None:
            steps.append(self.host_record.context.tasks.stop)
        if self.lifespans is not None:
            steps += [partial(self.lifespans.stop, record) for record in reversed(self.records)]
        if self.node.is_open:
            steps.append(self.node.db.close)
        for step in steps:
            try:
                await step()
            except Exception as error:
                self.log.error("a step of the stop failed", exc_info=error)
        self.node.release_lock()
