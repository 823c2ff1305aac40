"""The rows of the targets, and the way from one to its repository."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from cloudos_sdk import Context, Event, InvalidRequest, NotFound
from sqlalchemy import delete, or_, select, update
from sqlmodel import Session

from cloudos_backups.models import Target
from cloudos_backups.restic.repository import Repository
from cloudos_backups.targets.kinds import KINDS, repository_of, write_files
from cloudos_backups.targets.recovery_key import password_of

TABLE = Target.__table__


class TargetStore:
    """Reads and changes targets. Secrets leave it only towards restic."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def all(self) -> Sequence[Target]:
        """Return the targets, oldest first."""
        statement = select(Target).where(TABLE.c.state == "ready").order_by(TABLE.c.created_at, TABLE.c.id)
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def unfinished(self) -> Sequence[Target]:
        """Return the targets at whose making the host ended."""
        statement = select(Target).where(TABLE.c.state != "ready")
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def get(self, id: str) -> Target:
        """Return a target by id or name. Raises NotFound."""
        statement = select(Target).where(or_(TABLE.c.id == id, TABLE.c.name == id), TABLE.c.state == "ready")
        found = await self._ctx.db.read(lambda s: s.execute(statement).scalars().first())
        if found is None:
            raise NotFound("backup target", id[:200], code="target_not_found")
        target: Target = found
        return target

    async def chosen(self, name: str | None) -> Target:
        """Return the target of that name or id, or the only one. Raises InvalidRequest."""
        if name is not None:
            try:
                return await self.get(name)
            except NotFound as error:
                raise InvalidRequest.field("target", error.message) from None
        targets = await self.all()
        if len(targets) != 1:
            names = ", ".join(target.name for target in targets) or "none yet; add one with POST /api/backup/targets"
            raise InvalidRequest.field("target", f"name one of the targets: {names}")
        return targets[0]

    def insert(self, session: Session, values: Mapping[str, Any]) -> None:
        """Add a row."""
        session.add(Target(**values))
        session.flush()

    async def change(self, id: str, *events: Event, **values: Any) -> None:
        """Change a row, and emit."""

        def store(session: Session) -> None:
            session.execute(update(TABLE).where(TABLE.c.id == id).values(**values))
            for event in events:
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)

    async def drop(self, id: str, *events: Event) -> None:
        """Delete a row, and emit."""

        def store(session: Session) -> None:
            session.execute(delete(TABLE).where(TABLE.c.id == id))
            for event in events:
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)

    def packed(self, kind: str, config: Mapping[str, Any]) -> dict[str, str]:
        """Return a config as a row keeps it: what is secret apart and encrypted."""
        secret = {name: value for name, value in config.items() if name in KINDS[kind].secret}
        public = {name: value for name, value in config.items() if name not in secret}
        return {
            "config": orjson.dumps(public).decode(),
            "secrets": self._ctx.secrets.encrypt(orjson.dumps(secret).decode()),
        }

    def sealed(self, key: str) -> str:
        """Return a recovery key as a row keeps it."""
        return self._ctx.secrets.encrypt(key)

    def config(self, target: Target) -> dict[str, Any]:
        """Return a target's config with its secrets."""
        secret = orjson.loads(self._ctx.secrets.decrypt(target.secrets))
        return {**orjson.loads(target.config), **secret}

    def key(self, target: Target) -> str:
        """Return the recovery key of a target."""
        return self._ctx.secrets.decrypt(target.password)

    async def repository(self, target: Target) -> Repository:
        """Return how restic reaches a target, with the files there that it needs."""
        config, folder = self.config(target), self._ctx.data_dir / "targets" / target.id
        await asyncio.to_thread(write_files, target.kind, config, folder)
        return repository_of(target.kind, config, password_of(self.key(target)), folder)

    async def seen(self, target: Target, error: str | None, *, damaged: bool = False, **values: Any) -> None:
        """Note how a target was found just now."""
        health = "ok" if error is None else "damaged" if damaged else "failing"
        if target.health == "damaged" and health == "ok" and "checked_at" not in values:
            return  # only a check can say that the damage is gone
        await self.change(target.id, health=health, error=error, **values)

    def now(self) -> datetime:
        """Return the time."""
        return self._ctx.clock.now()
