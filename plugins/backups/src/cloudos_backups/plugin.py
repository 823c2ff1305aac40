"""Backups: apps and the node, encrypted, by restic; proved by restoring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
from cloudos_sdk import Component, Context, Health, Job, Manifest, Permission, Role, hookimpl
from cloudos_sdk.capabilities import AppData, Apps, BackupSource, MetricSource
from quart import Blueprint

from cloudos_backups import events
from cloudos_backups.api.backup_routes import backup_routes
from cloudos_backups.api.restore_routes import restore_routes
from cloudos_backups.api.schedule_routes import schedule_routes
from cloudos_backups.api.target_routes import target_routes
from cloudos_backups.jobs import FORGET
from cloudos_backups.metrics import BackupMetrics
from cloudos_backups.models import Base
from cloudos_backups.proof.prover import Prover
from cloudos_backups.proof.service import Proofs
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.process import found_restic
from cloudos_backups.restore.file_browser import FileBrowser
from cloudos_backups.restore.runner import RestoreRunner
from cloudos_backups.restore.service import Restores
from cloudos_backups.restore.store import RestoreStore
from cloudos_backups.schedule.planner import Planner
from cloudos_backups.schedule.service import Schedules
from cloudos_backups.schedule.store import ScheduleStore
from cloudos_backups.settings import BackupsSettings
from cloudos_backups.snapshots import staging_folder
from cloudos_backups.snapshots.adoption import Adoptions
from cloudos_backups.snapshots.retention import Retention
from cloudos_backups.snapshots.runner import BackupRunner
from cloudos_backups.snapshots.service import Backups
from cloudos_backups.snapshots.store import BackupStore
from cloudos_backups.targets.service import Targets
from cloudos_backups.targets.store import TargetStore
from cloudos_backups.targets.turns import Turns


def _probe(settings: Any) -> str:
    return found_restic(settings.restic_program)


manifest = Manifest(
    title="Backups",
    prefixes=("/api/backups", "/api/backup"),
    settings=BackupsSettings,
    tables=Base,
    migrations="cloudos_backups.migrations",
    permissions=(
        Permission("backups:read", "See backups, targets and schedules", Role.VIEWER),
        Permission("backups:write", "Make backups, read their files, restore apps", Role.OPERATOR),
        Permission("backup_settings:write", "Add targets, set schedules, remove backups", Role.ADMIN),
    ),
    components=(Component("restic", _probe, "apt-get install restic"),),
    provides=(MetricSource,),
    uses=(Apps, AppData, BackupSource),
    emits=events.ALL,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the endpoints of backups."""
    return [backup_routes, restore_routes, schedule_routes, target_routes]


@hookimpl
def cloudos_commands() -> Sequence[click.Command]:
    """Return `restore`, for a machine where nothing of the node is left."""
    from cloudos_backups.commands import restore

    return [restore]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the daily end of old rows."""
    return [FORGET]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Take up what was interrupted. Neither restic nor a target need be there."""
    restic, turns = Restic(ctx), Turns()
    targets, backups = TargetStore(ctx), BackupStore(ctx)
    service = Targets(ctx, targets, restic, turns)
    making = Backups(ctx, backups, targets, restic, turns)
    await asyncio.to_thread(staging_folder.sweep, ctx.data_dir)
    await service.finish_unfinished()
    ctx.provide(TargetStore, targets)
    ctx.provide(BackupStore, backups)
    ctx.provide(Targets, service)
    ctx.provide(Backups, making)
    ctx.provide(FileBrowser, FileBrowser(ctx, backups, targets, restic))
    ctx.provide(Restores, Restores(ctx, backups, targets, restic))
    rows = RestoreStore(ctx)
    ctx.provide(RestoreStore, rows)
    restoring = RestoreRunner(ctx, backups, targets, rows, restic, turns)
    ctx.tasks.start("restores to put back", restoring.put_back)
    restoring.register()
    BackupRunner(ctx, backups, targets, restic, turns).register()
    adoptions = Adoptions(ctx, backups, targets, restic, turns)
    ctx.provide(Adoptions, adoptions)
    adoptions.register()
    service.register()
    making.register()
    schedules, prover = ScheduleStore(ctx), Prover(ctx, backups, targets, rows, restic, turns)
    ctx.provide(MetricSource, BackupMetrics(ctx, backups, targets, schedules))
    ctx.provide(Schedules, Schedules(ctx, schedules, targets))
    proofs = Proofs(ctx, backups, targets, prover)
    ctx.provide(Proofs, proofs)
    proofs.register()
    retention = Retention(ctx, backups, targets, restic, turns)
    planner = Planner(ctx, schedules, targets, service, making, backups, retention, prover)
    ctx.provide(Planner, planner)
    ctx.tasks.start("schedules", planner.run)
    yield


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Tell which targets are not as they should be."""
    bad = [target for target in await ctx.use(TargetStore).all() if target.health != "ok"]
    if damaged := [target.name for target in bad if target.health == "damaged"]:
        return Health(
            False, f"the backups at {', '.join(damaged)} are damaged; check them, and back up to another target"
        )
    return Health(True, f"{', '.join(target.name for target in bad)} could not be reached" if bad else "")
