"""The commands `doctor`, `db` and `openapi`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudos_sdk import Component
from sqlalchemy import func, select

from cloudos_host.cli.cli_context import examine
from cloudos_host.config import Config, unknown_sections
from cloudos_host.data import schema_upgrade
from cloudos_host.data.file_modes import MASK
from cloudos_host.data.models import EventSetAside, JobRun
from cloudos_host.host import Host
from cloudos_host.node import HostError
from cloudos_host.plugins.registry import PluginRecord

_PROBE_LIMIT = 10.0


@dataclass(frozen=True)
class Finding:
    """One finding of the doctor: `ok`, subject, detail and remedy."""

    ok: bool
    subject: str
    detail: str
    remedy: str = ""
    optional: bool = False


async def diagnose(config: Config) -> list[Finding]:
    """Look at the node and at everything its plugins need. Changes nothing."""
    findings = []
    host, loader = examine(config)
    installed = [record.id for record in host.records]
    findings += [Finding(False, "settings", warning, optional=True) for warning in unknown_sections(config, installed)]
    findings += [Finding(False, "settings", host.missing(id)) for id in config.host.required if id not in installed]
    for record in host.records:
        if record.reason is not None:
            findings.append(Finding(False, record.id, record.reason, optional=record.state.value == "disabled"))
            continue
        try:
            loader.examine(record)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin code; the finding is what it raised
            record.fail(record.phase, error)
            findings.append(Finding(False, record.id, f"{record.phase.value}: {record.reason}"))
            continue
        if record.blamed:
            blame = "the host crashed twice while starting it, and it is disabled"
            findings.append(Finding(False, record.id, blame, f"cloudos plugins enable {record.id}"))
            continue
        findings.append(Finding(True, record.id, f"{record.found.distribution} {record.found.version}"))
        for component in record.manifest.components if record.manifest else ():
            findings.append(await _probe(record, component))
    findings += await asyncio.to_thread(lambda: list(_data(config, host)))
    return findings


async def _probe(record: PluginRecord, component: Component) -> Finding:
    subject = f"{record.id}: {component.name}"
    try:
        async with asyncio.timeout(_PROBE_LIMIT):
            version = await asyncio.to_thread(component.probe, record.settings)
    except TimeoutError:
        return Finding(False, subject, "it does not answer", component.install, component.optional)
    except Exception as error:  # noqa: BLE001 - a probe raises to say that there is none
        return Finding(False, subject, str(error) or type(error).__name__, component.install, component.optional)
    return Finding(True, subject, version)


def _data(config: Config, host: Host) -> Iterator[Finding]:
    folder = config.host.data_dir
    if folder.exists() and not (room := host.node.reserve.health()).ok:
        yield Finding(False, "disk", room.detail)
    try:
        host.open()
    except Exception as error:  # noqa: BLE001 - whatever a start would say is the finding
        if isinstance(error, HostError) and host.node.facts.is_new:
            what = "holds no node yet" if folder.exists() else "does not exist"
            remedy = "name the node's folder with --data-dir; for a new node, `cloudos serve` makes it"
            yield Finding(False, "data folder", f"{folder} {what}", remedy, optional=folder.exists())
            return
        said = error if isinstance(error, HostError) else host.node.refused(error) or f"{type(error).__name__}: {error}"
        yield Finding(False, "node", str(said))
        return
    mode = (folder / "host.key").stat().st_mode & 0o777
    yield Finding(mode == 0o600, "host key", f"mode {mode:o}", f"chmod 600 {folder / 'host.key'}")
    wide = folder.stat().st_mode & MASK
    yield Finding(not wide, "data folder", f"mode {folder.stat().st_mode & 0o777:o}", f"chmod 700 {folder}")
    running = in_use(folder)
    yield Finding(True, "host", "running" if running else "not running")
    if not running and (lock := host.node.database_lock) is not None:
        taken = lock.take()
        lock.release()
        if not taken:
            yield Finding(False, "database", f"another host ({lock.holder}) uses {host.node.place}; stop it first")
    try:
        for id, current, pending in revisions(host):
            if pending:
                yield Finding(False, f"tables of {id}", f"at {current}, {len(pending)} behind", "cloudos db upgrade")
        yield from _history(host)
    except Exception as error:  # noqa: BLE001 - whatever the database says is the finding
        said = host.node.refused(error) or f"{type(error).__name__}: {error}"
        yield Finding(False, "database", str(said), "look at host.database_url")
    finally:
        host.db.write_engine.dispose()
    if running:
        yield from _health(folder / "health.json")


def _health(file: Path) -> Iterator[Finding]:
    try:
        answers = json.loads(file.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        yield Finding(False, "health", f"{file} cannot be read: {error}", "the running host writes it within a minute")
        return
    for id, health in answers.items():
        if not health["ok"]:
            yield Finding(False, f"health of {id}", health["detail"])


def _history(host: Host) -> Iterator[Finding]:
    runs, aside = JobRun.__table__, EventSetAside.__table__
    newest = select(func.max(runs.c.id)).group_by(runs.c.plugin, runs.c.job)
    failed = select(runs).where(runs.c.id.in_(newest), runs.c.outcome != "succeeded")
    lost = select(aside.c.reader, func.count().label("n")).group_by(aside.c.reader)
    with host.db.write_engine.connect() as connection:
        for row in connection.execute(failed).mappings():
            yield Finding(False, f"job {row['plugin']}: {row['job']}", f"{row['outcome']}: {row['error']}")
        for row in connection.execute(lost).mappings():
            yield Finding(False, f"reader {row['reader']}", f"{row['n']} events could not be handled; see the log")


def in_use(folder: Path) -> bool:
    """Return whether a host holds the lock of this data folder."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def revisions(host: Host) -> Iterator[tuple[str, str | None, list[str]]]:
    """Yield each owner of tables: its id, the revision it is at, and the revisions to come. `host` is open."""
    packages = {"host": "cloudos_host.migrations"}
    packages |= {r.id: r.manifest.migrations for r in host.records if r.manifest and r.manifest.migrations}
    for id, package in packages.items():
        with host.db.write_engine.connect() as connection:
            yield id, schema_upgrade.applied(connection, id), schema_upgrade.pending(connection, id, package)


def openapi(config: Config) -> dict[str, Any]:
    """Return the OpenAPI document of the plugins that can be loaded. Opens no database."""
    host, loader = examine(config)
    loader.load()
    return host.describe_unserved(record for record in host.records if record.alive)


def upgrade(config: Config) -> list[str]:
    """Upgrade all tables after a snapshot; return the records that failed. The host must not be running."""
    host, loader = examine(config)
    loader.load()
    host.node.take_lock()
    try:
        host.open(begin=True)
        host.migrate([host.host_record, *(record for record in host.records if record.alive)])
    finally:
        host.node.release_lock()
    return [f"{record.id}: {record.reason}" for record in host.records if record.reason]
