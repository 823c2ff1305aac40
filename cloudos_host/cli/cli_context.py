"""A node opened by the command line without serving it, also beside a running host."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from cloudos_sdk import Principal, Role
from cloudos_sdk.capabilities import PermissionCatalogue, PluginCatalogue
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as
from sqlalchemy.exc import SQLAlchemyError

from cloudos_host.config import Config, ConfigError
from cloudos_host.data import schema_upgrade
from cloudos_host.host import Host
from cloudos_host.http import host_api
from cloudos_host.node import HostError
from cloudos_host.plugins.contributions import PluginTable
from cloudos_host.plugins.discovery import DiscoveredPlugin
from cloudos_host.plugins.loader import PluginLoader
from cloudos_host.plugins.registry import PluginRecord
from cloudos_host.plugins.startup_crash_log import StartupCrashLog

T = TypeVar("T")


def examine(config: Config, found: DiscoveredPlugin | None = None) -> tuple[Host, PluginLoader]:
    """Return a host with its plugins imported and checked but not started; `found` limits it to these plugins."""
    host = Host(config, found=None if found is None else [found])
    notes = StartupCrashLog(config.host.data_dir, host.log, host.clock.now(), keep=False)
    for record in host.records:
        if record.alive and record.id not in config.host.required and notes.suspicious(record.id):
            record.blamed = True
    loader = PluginLoader(host.records, config, notes, host.log, host_api.manifest)
    return host, loader


class PluginCommands:
    """The `obj` of a plugin's click commands: `ctx.obj.run(async_fn)` calls it with the plugin's context."""

    def __init__(self, config: Callable[[], Config], found: DiscoveredPlugin) -> None:
        self._config = config
        self._found = found

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work(ctx)` with database, secrets and settings, without entering the plugin's lifespan.

        Raises HostError where there is no data folder yet or its tables are older or newer than the code.
        """
        import asyncio

        async def inside() -> T:
            async with self._open() as context:
                return await work(context)

        return asyncio.run(inside())

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Any]:
        host, loader = examine(self._config(), self._found)
        record = host.records[0]
        _load_one(loader, record)
        _open(host)
        try:
            _check_tables(host, record)
            host.capabilities.add("host", PermissionCatalogue, host.permissions)
            host.capabilities.add("host", PluginCatalogue, PluginTable(host.host_record, host.records))
            context = host.context_of(record)
            enter_context(context)
            who = f"{getpass.getuser()} (command line)"
            act_as(Caller(Principal("system", "cli", who, Role.ADMIN, "system")))
            yield context
            await context.quiesce()
            await context.release()
        finally:
            await host.db.close()


def _open(host: Host) -> None:
    try:
        host.open()
    except (OSError, SQLAlchemyError) as error:
        raise host.node.refused(error) or error from None


def _load_one(loader: PluginLoader, record: PluginRecord) -> None:
    if record.reason is not None:
        raise HostError(f"{record.id}: {record.reason}")
    try:
        loader.examine(record)
    except ConfigError as error:
        raise HostError(str(error)) from None


def _check_tables(host: Host, record: PluginRecord) -> None:
    package = record.manifest.migrations if record.manifest else None
    for id, where in (("host", "cloudos_host.migrations"), (record.id, package)):
        if where is not None:
            with host.db.write_engine.connect() as connection:
                if schema_upgrade.pending(connection, id, where):
                    raise HostError(f"the tables of {id} are not up to date; run `cloudos db upgrade`")
