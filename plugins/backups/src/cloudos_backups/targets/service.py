"""What people ask of targets: add, change, remove, check, and the recovery key."""

from __future__ import annotations

import asyncio
import hmac
import os
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict, Context, InvalidRequest, NotFound, Operation, new_id
from cloudos_sdk.capabilities import AppData, Apps
from sqlalchemy import func, select
from sqlmodel import Session

from cloudos_backups.events import (
    BackupRecoveryKeyConfirmed,
    BackupTargetAdded,
    BackupTargetChanged,
    BackupTargetDamaged,
    BackupTargetRemoved,
)
from cloudos_backups.models import Backup, Schedule, Target
from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.errors import RepositoryDamaged, RepositoryMissing, WrongKey
from cloudos_backups.targets.kinds import KINDS, read_config
from cloudos_backups.targets.recovery_key import new_key, password_of
from cloudos_backups.targets.store import TABLE, TargetStore
from cloudos_backups.targets.turns import Turns

_BACKUPS, _SCHEDULES = Backup.__table__, Schedule.__table__
_RUNNING = ("queued", "in_progress")
_MOST = 50


class Targets:
    """The targets of this node."""

    def __init__(self, ctx: Context, store: TargetStore, restic: Restic, turns: Turns) -> None:
        self._ctx = ctx
        self._store = store
        self._restic = restic
        self._turns = turns

    def register(self) -> None:
        """Take up checks that a dead host left."""
        self._ctx.operations.register("backup_check", self._check, audience="backups:read")

    async def add(self, name: str, kind: str, given: Mapping[str, Any]) -> tuple[Target, str]:
        """Make a target with a new repository, tested; return it and its recovery key."""
        config, key = read_config(kind, given), new_key()
        await self._check_place(kind, config)
        target = await self._begin(name, kind, config, key, "new")
        try:
            await self._restic.init(await self._store.repository(target))
        except BaseException:
            await self._store.drop(target.id)
            raise
        return await self._finish(target), key

    async def adopt(self, name: str, kind: str, given: Mapping[str, Any], typed: str) -> Target:
        """Make a target of a repository that is there already, opened by its recovery key."""
        config, key = read_config(kind, given), typed
        password_of(typed)
        await self._check_place(kind, config)
        for other in await self._store.all():
            there = self._store.config(other)
            if other.kind == kind and all(there[field] == config[field] for field in KINDS[kind].place):
                if not hmac.compare_digest(password_of(typed), password_of(self._store.key(other))):
                    raise WrongKey()
                return other  # as after the restore of a node, whose database knows its target already
        target = await self._begin(name, kind, config, key, "adopting")
        try:
            await self._restic.open(await self._store.repository(target))
        except BaseException:
            await self._store.drop(target.id)
            raise
        await self._store.change(target.id, recovery_confirmed_at=self._store.now())
        return await self._finish(target)

    async def _begin(self, name: str, kind: str, config: Mapping[str, Any], key: str, state: str) -> Target:
        """Store the target with its key before the repository has it: one that nobody can open helps nobody."""
        now = self._store.now()
        values = {
            "id": new_id("tgt"),
            "name": name,
            "kind": kind,
            **self._store.packed(kind, config),
            "password": self._store.sealed(key),
            "state": state,
            "health": "ok",
            "recovery_due_at": now + timedelta(days=self._ctx.settings.recovery_key_days),
            "created_at": now,
            "updated_at": now,
        }

        def store(session: Session) -> Target:
            if session.execute(select(TABLE.c.id).where(TABLE.c.name == name)).first() is not None:
                raise Conflict("target_name_taken", f"There is a target named {name} already; choose another name.")
            if session.execute(select(func.count()).select_from(TABLE)).scalar_one() >= _MOST:
                raise Conflict("too_many_targets", f"There are {_MOST} targets already; remove one first.")
            self._store.insert(session, values)
            return Target(**values)

        return await self._ctx.db.write(store)

    async def _finish(self, target: Target) -> Target:
        details = f"Added the backup target {target.name} ({target.kind})"
        told = BackupTargetAdded(resource=target.id, details=details, target=target.name, kind=target.kind)
        await self._store.change(target.id, told, state="ready", checked_at=self._store.now())
        return await self._store.get(target.id)

    async def finish_unfinished(self) -> None:
        """Settle the targets at whose making the host ended: their answer never came, so nobody has their key."""
        for target in await self._store.unfinished():
            self._ctx.log.warning("a target that was not made to its end is removed", target=target.name)
            if target.kind == "local" and target.state == "new":
                try:
                    await self._restic.open(await self._store.repository(target))
                except CloudOSError:
                    pass  # it was not made yet, or what is there is not ours
                else:
                    await asyncio.to_thread(_take_away, self._store.config(target)["path"])
            await self._store.drop(target.id)

    async def change(self, target_id: str, name: str | None, given: Mapping[str, Any] | None) -> Target:
        """Change a target's name, or how it is reached; where its backups are cannot change."""
        target = await self._store.get(target_id)
        before = self._store.config(target)
        merged = {**before, **(given or {})}
        if target.kind == "sftp" and given:  # one of the two ways in takes the place of the other
            for new, old in (("password", "private_key"), ("private_key", "password")):
                if given.get(new) and not given.get(old):
                    merged[old] = None
        config = read_config(target.kind, merged)
        changed = [field for field in config if config[field] != before.get(field)]
        if moved := [field for field in changed if field in KINDS[target.kind].place]:
            raise Conflict(
                "target_elsewhere",
                f"{moved[0]} says where the backups are, and those do not move. Add another target instead.",
            )
        values: dict[str, Any] = {**self._store.packed(target.kind, config), "updated_at": self._store.now()}
        if name is not None and name != target.name:
            values["name"], changed = name, [*changed, "name"]
        if not changed:
            return target

        def store(session: Session) -> None:
            taken = select(TABLE.c.id).where(TABLE.c.name == values.get("name"), TABLE.c.id != target.id)
            if "name" in values and session.execute(taken).first() is not None:
                raise Conflict("target_name_taken", f"There is a target named {name} already; choose another name.")
            session.execute(TABLE.update().where(TABLE.c.id == target.id).values(**values))
            told = BackupTargetChanged(
                resource=target.id,
                details=f"Changed {', '.join(changed)} of the backup target {target.name}",
                target=str(values.get("name", target.name)),
                changed=changed,
            )
            self._ctx.events.emit(session, told)

        if changed != ["name"]:
            trial = Target(**{**target.model_dump(), **values})
            await self._restic.open(await self._store.repository(trial))
        await self._ctx.db.write(store)
        return await self._store.get(target.id)

    async def remove(self, target_id: str, *, purge: bool) -> None:
        """Forget a target; its data stay where they are, unless `purge`."""
        target = await self._store.get(target_id)
        running = select(_BACKUPS.c.id).where(_BACKUPS.c.target_id == target.id, _BACKUPS.c.status.in_(_RUNNING))
        if self._turns.busy(target.id) or await self._ctx.db.read(lambda s: bool(s.execute(running).all())):
            raise Conflict("target_busy", f"Something works on {target.name} now; cancel it, or wait for its end.")
        async with self._turns.turn(target.id):
            if purge:
                await self._purge(target)
            details = f"Removed the backup target {target.name} {'with' if purge else 'and kept'} its backups"
            told = BackupTargetRemoved(resource=target.id, details=details, target=target.name, purged=purge)

            def store(session: Session) -> None:
                for row in session.execute(select(_SCHEDULES.c.name, _SCHEDULES.c.plan)):
                    if target.id in orjson.loads(row.plan)["targets"]:
                        raise Conflict(
                            "target_in_schedule", f"The schedule {row.name} uses {target.name}; change it first."
                        )
                session.execute(_BACKUPS.delete().where(_BACKUPS.c.target_id == target.id))
                session.execute(TABLE.delete().where(TABLE.c.id == target.id))
                self._ctx.events.emit(session, told)

            await self._ctx.db.write(store)
        await asyncio.to_thread(shutil.rmtree, self._ctx.data_dir / "targets" / target.id, ignore_errors=True)

    async def _purge(self, target: Target) -> None:
        repository = await self._store.repository(target)
        try:
            snapshots = [snapshot.id for snapshot in await self._restic.snapshots(repository)]
            await self._restic.forget(repository, snapshots, prune=True)
        except RepositoryMissing:
            return
        if target.kind == "local":
            await asyncio.to_thread(_take_away, self._store.config(target)["path"])

    async def begin_check(self, target_id: str) -> str:
        """Begin to check a target; return the operation."""
        target = await self._store.get(target_id)
        percent = self._ctx.settings.check_percent

        def begin(session: Session) -> str:
            title = f"Check the backups at {target.name}"
            return self._ctx.operations.start(session, "backup_check", target.id, title, {"percent": percent})

        return await self._ctx.db.write(begin)

    async def _check(self, operation: Operation) -> Mapping[str, Any] | None:
        return await self.check(operation.resource, int(operation.input["percent"]), operation)

    async def check(self, target_id: str, percent: int, operation: Operation | None = None) -> Mapping[str, Any]:
        """Check a repository and a share of its data, and measure it."""
        try:
            target = await self._store.get(target_id)
        except NotFound:
            return {}
        if operation is not None:
            await operation.progress(0.0, f"Waiting for {target.name}")
        async with self._turns.turn(target.id):
            repository = await self._store.repository(target)
            if operation is not None:
                await operation.progress(0.1, f"Reading {percent} % of the backups at {target.name}")
            now = self._store.now()
            try:
                await self._restic.check(repository, percent)
                size = await self._restic.size(repository)
            except RepositoryDamaged as error:
                reason = error.message
                told = BackupTargetDamaged(
                    resource=target.id, details=f"{target.name}: {reason}"[:500], target=target.name, reason=reason
                )
                events = [told] if target.health != "damaged" else []
                values = {"health": "damaged", "error": reason, "checked_at": now}
                await self._store.change(target.id, *events, **values)
                raise
            except CloudOSError as error:
                await self._store.seen(target, error.message, checked_at=now)
                raise
            await self._store.seen(target, None, checked_at=now, size_bytes=size)
            return {"target": target.name, "percent": percent, "size_bytes": size}

    async def confirm_key(self, target_id: str, typed: str) -> Target:
        """Take a recovery key that an admin has typed. Raises InvalidRequest where it is not the key."""
        target = await self._store.get(target_id)
        if not hmac.compare_digest(password_of(typed), password_of(self._store.key(target))):
            raise WrongKey()
        details = f"Confirmed the recovery key of {target.name}"
        told = BackupRecoveryKeyConfirmed(resource=target.id, details=details, target=target.name)
        await self._store.change(target.id, told, recovery_confirmed_at=self._store.now())
        return await self._store.get(target.id)

    async def free_bytes(self, target: Target) -> int | None:
        """Return the room at a target, where it can be known."""
        if target.kind != "local":
            return None
        try:
            async with asyncio.timeout(2):
                return (await asyncio.to_thread(shutil.disk_usage, self._store.config(target)["path"])).free
        except (OSError, TimeoutError):
            return None

    async def _check_place(self, kind: str, config: Mapping[str, Any]) -> None:
        """Refuse a folder that would be part of what is backed up, or lost with it."""
        if kind != "local":
            return
        path = await asyncio.to_thread(os.path.realpath, config["path"])
        own = await asyncio.to_thread(os.path.realpath, self._ctx.data_dir.parent)
        if _within(path, own):
            raise InvalidRequest.field(
                "config.path", f"{path} lies in the node's own folder, and would be lost with it"
            )
        await check_apart(self._ctx, path)
        await asyncio.to_thread(_check_writable, Path(config["path"]))


async def check_apart(ctx: Context, path: str) -> None:
    """Raise InvalidRequest for a path that lies in the data of an app, or they in it."""
    apps, data = ctx.find(Apps), ctx.find(AppData)
    if apps is None or data is None:
        return
    for app in await apps.list_apps():
        try:
            contents = await data.contents(app.id)
        except CloudOSError:
            continue
        for folder in contents.folders if contents is not None else ():
            if folder.path and _within(path, await asyncio.to_thread(os.path.realpath, folder.path)):
                raise InvalidRequest.field("config.path", f"{path} lies in the data of the app {app.name}")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _check_writable(path: Path) -> None:
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise InvalidRequest.field("config.path", f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidRequest.field("config.path", f"{there} cannot be written by this node")
    if path.is_dir() and any(path.iterdir()) and not (path / "config").exists():
        raise InvalidRequest.field("config.path", f"{path} holds other things; name an empty folder")
    if shutil.disk_usage(there).free < 1 << 20:
        raise InvalidRequest.field("config.path", f"there is no room at {there}")


def _take_away(path: str) -> None:
    """Remove a repository, and only what is one, from a folder."""
    folder = Path(path)
    for name in ("config", "data", "index", "keys", "locks", "snapshots"):
        part = folder / name
        if part.is_symlink() or part.is_file():
            part.unlink(missing_ok=True)
        else:
            shutil.rmtree(part, ignore_errors=True)
    try:
        folder.rmdir()
    except OSError:
        return
