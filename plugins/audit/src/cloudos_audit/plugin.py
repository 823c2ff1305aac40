"""The audit log: actor, action, resource and address of every change; append-only and hash-chained."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from cloudos_sdk import Context, Health, Job, Manifest, Permission, Role, hookimpl
from quart import Blueprint

from cloudos_audit.chain import Seal
from cloudos_audit.chain_head import SealMark
from cloudos_audit.external_seal import Syslog
from cloudos_audit.jobs import KEEP
from cloudos_audit.models import Base
from cloudos_audit.pages import PAGES
from cloudos_audit.queries import AuditQueries
from cloudos_audit.recorder import Recorder
from cloudos_audit.retention import AuditPruned, AuditRetention
from cloudos_audit.routes import routes
from cloudos_audit.seal_event import AuditSealed, seal_for_ever
from cloudos_audit.settings import AuditSettings
from cloudos_audit.tamper_monitor import AuditTampered, TamperMonitor
from cloudos_audit.verification import Verifier

if TYPE_CHECKING:
    import click

manifest = Manifest(
    title="Audit log",
    prefixes=("/api/audit",),
    settings=AuditSettings,
    tables=Base,
    migrations="cloudos_audit.migrations",
    permissions=(Permission("audit:read", "Read, export and verify the audit log", Role.ADMIN),),
    emits=(AuditPruned, AuditSealed, AuditTampered),
    ui=PAGES,
)


@hookimpl
def cloudos_routes() -> Sequence[Blueprint]:
    """Return the audit endpoints."""
    return [routes]


@hookimpl
def cloudos_jobs() -> Sequence[Job]:
    """Return the daily verification and retention."""
    return [KEEP]


@hookimpl
def cloudos_commands() -> Sequence[click.Command]:
    """Return `verify` and `export`."""
    from cloudos_audit.commands import export, verify

    return [verify, export]


@hookimpl
@asynccontextmanager
async def cloudos_lifespan(ctx: Context) -> AsyncIterator[None]:
    """Follow all events from the first one on."""
    seal, mark = Seal(ctx.secrets.digest), SealMark(ctx.data_dir)
    syslog = Syslog(ctx.settings.syslog, ctx.log) if ctx.settings.syslog else None
    recorder = Recorder(ctx.db, ctx.clock, seal, mark, ctx.log, syslog)
    await recorder.open()
    ctx.provide(AuditQueries, AuditQueries(ctx.db))
    ctx.provide(Recorder, recorder)
    ctx.provide(AuditRetention, AuditRetention(ctx, seal))
    ctx.provide(TamperMonitor, TamperMonitor(ctx, Verifier(ctx.db, seal, mark)))
    ctx.events.subscribe_batches(recorder.handle, "*", name="log", from_start=True)
    ctx.tasks.start("hourly seal", partial(seal_for_ever, ctx))
    try:
        yield
    finally:
        if syslog is not None:
            syslog.close()


@hookimpl
async def cloudos_health(ctx: Context) -> Health:
    """Check that the log follows the events and that its last verification succeeded."""
    recorder, watch = ctx.find(Recorder), ctx.find(TamperMonitor)
    if recorder is None or watch is None:
        return Health(False, "The audit log does not run.")
    following = recorder.health()
    return following if not following.ok else watch.health()
