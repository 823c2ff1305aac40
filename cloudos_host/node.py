"""The node without its plugins: data folder and lock, database, events and key."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

from cloudos_sdk import Clock, DatabaseUnavailable, Health
from sqlalchemy import make_url, select

from cloudos_host.config import HostSettings
from cloudos_host.data.database import Database, sqlite_url
from cloudos_host.data.database_failure import refusal
from cloudos_host.data.database_lock import DatabaseLock
from cloudos_host.data.disk_reserve import DiskReserve
from cloudos_host.data.encryption import make_host_key
from cloudos_host.data.file_modes import make_data_folder, make_private
from cloudos_host.data.folder_lock import lock_folder
from cloudos_host.data.models import NodeFact
from cloudos_host.data.node_identity import NodeFacts, look, remember
from cloudos_host.data.outbox import EventOutbox


class HostError(Exception):
    """The host cannot serve; the message is the one line to print."""


class Node:
    """One node: taken with the lock, then open."""

    db: Database
    events: EventOutbox
    key: bytes
    facts: NodeFacts

    def __init__(self, settings: HostSettings, clock: Clock, log: Any) -> None:
        self.settings = settings
        self._clock = clock
        self.log = log
        self._lock: int | None = None
        self.folder = settings.data_dir
        self.reserve = DiskReserve(self.folder, log)
        url = settings.database_url
        self.database_lock = DatabaseLock(url, log) if url is not None else None  # the folder's is on its own database
        self.is_open = False

    @property
    def place(self) -> str:
        """The location of the database, without its password."""
        if self.settings.database_url is None:
            return str(self.folder / "cloudos.db")
        return make_url(self.settings.database_url).render_as_string(hide_password=True)

    def take_lock(self) -> None:
        """Make the data folder and lock it and the database. Raises HostError if another host uses them."""
        make_data_folder(self.folder, self.log)
        self.reserve.release()
        self._lock = lock_folder(self.folder)
        if self._lock is None:
            raise HostError(f"another host uses {self.folder}; stop it first")
        if self.database_lock is not None and not self.database_lock.take():
            raise HostError(f"another host ({self.database_lock.holder}) uses the database {self.place}; stop it first")

    def release_lock(self) -> None:
        """Let others have the data folder and the database."""
        if self.database_lock is not None:
            self.database_lock.release()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, *, begin: bool = False) -> None:
        """Open the database and the key; with `begin` make those of a new node.

        Raises HostError where key, folder and database do not belong together, or there is no node.
        """
        self.db = Database(
            self.settings.database_url or sqlite_url(self.folder / "cloudos.db"),
            readers=self.settings.database_readers,
            read_limit=self.settings.database_read_limit,
            sync=self.settings.database_sync,
        )
        self.events = EventOutbox(self.db, self._clock, self.log)
        self.is_open = True
        try:
            facts = self._agreeing(begin=begin)
        except BaseException:
            self.db.write_engine.dispose()
            raise
        if self.settings.database_url is None:  # what SQLite puts beside it has the same mode
            make_private(self.folder / "cloudos.db")
        self.key = facts.key if facts.key is not None else make_host_key(self.folder)

    def _agreeing(self, *, begin: bool) -> NodeFacts:
        facts = self.facts = look(self.folder, self.db.write_engine if self._has_database() else None)
        wrong = facts.contradiction(self.folder, self.place)
        if wrong is not None:
            raise HostError(wrong)
        if facts.key is None and not begin:
            raise HostError(f"{self.folder} holds no node; name another with --data-dir, or run `cloudos serve` first")
        return facts

    def remember(self) -> None:
        """Note in folder and database that they belong together; the host's tables are up to date."""
        if self.facts.complete:
            return
        try:
            remember(self.folder, self.db.write_engine, self.key)
        except OSError as error:
            self.log.warning("the folder cannot note its node", folder=str(self.folder), reason=str(error))

    def _has_database(self) -> bool:
        if self.settings.database_url is not None:
            return True
        file = self.folder / "cloudos.db"
        return file.exists() and file.stat().st_size > 0

    async def health(self) -> Health:
        """Look at the database and at the room on the disk."""
        try:
            await self.db.read(lambda session: session.execute(select(1)))
            if self.db.trouble is not None:
                await self.db.write(lambda session: session.merge(NodeFact(name="written_at", value=self._now())))
                self.db.trouble = None
                self.log.info("the database works again")
        except DatabaseUnavailable as error:
            return Health(False, error.message)
        await asyncio.to_thread(self.reserve.keep)
        return await asyncio.to_thread(self.reserve.health)

    def _now(self) -> str:
        return self._clock.now().isoformat()

    def refused(self, error: BaseException) -> HostError | None:
        """Return the HostError for a failure of the machine at a start: a full disk or an unreachable database."""
        found = refusal(error)
        if found is not None:
            return HostError(f"{found.message} ({self.place})")
        if isinstance(error, OSError):
            what = "the disk is full; free space on it" if is_full(error) else error.strerror or str(error)
            return HostError(f"{error.filename or self.folder}: {what}")
        return None


def is_full(error: BaseException) -> bool:
    """Return whether an error means that a disk is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
