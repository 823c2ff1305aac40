"""What a node is besides its plugins: its folder and the lock on it, its database, its events, its key."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

from cloudos_sdk import Clock, DatabaseUnavailable, Health
from sqlalchemy import make_url, select

from cloudos_host.config import HostSettings
from cloudos_host.database import Database, sqlite_url
from cloudos_host.database_failure import refusal
from cloudos_host.disk_reserve import DiskReserve
from cloudos_host.events import EventLog
from cloudos_host.folder_lock import lock_folder
from cloudos_host.models import NodeFact
from cloudos_host.private import make_data_folder, make_private
from cloudos_host.secret_box import host_key
from cloudos_host.sse import EventStreams


class HostError(Exception):
    """The host cannot serve; the message is the one line to print."""


class Node:
    """One node: taken with the lock, then open."""

    db: Database
    events: EventLog
    streams: EventStreams
    key: bytes

    def __init__(self, settings: HostSettings, clock: Clock, log: Any) -> None:
        self.settings = settings
        self._clock = clock
        self.log = log
        self._lock: int | None = None
        self.folder = settings.data_dir
        self.reserve = DiskReserve(self.folder, log)
        self.is_open = False

    @property
    def place(self) -> str:
        """Where the database is, without its password."""
        if self.settings.database_url is None:
            return str(self.folder / "cloudos.db")
        return make_url(self.settings.database_url).render_as_string(hide_password=True)

    def take_lock(self) -> None:
        """Make the data folder and keep other hosts off it. Raises HostError where one is there."""
        make_data_folder(self.folder, self.log)
        self.reserve.release()
        self._lock = lock_folder(self.folder)
        if self._lock is None:
            raise HostError(f"another host uses {self.folder}; stop it first")

    def release_lock(self) -> None:
        """Let others have the data folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self) -> None:
        """Open the database and the key."""
        if self.settings.database_url is None:  # what SQLite puts beside it has the same mode
            make_private(self.folder / "cloudos.db")
        self.db = Database(
            self.settings.database_url or sqlite_url(self.folder / "cloudos.db"),
            readers=self.settings.database_readers,
            read_limit=self.settings.database_read_limit,
            sync=self.settings.database_sync,
        )
        self.events = EventLog(self.db, self._clock, self.log)
        self.streams = EventStreams(self.events)
        self.is_open = True
        self.key = host_key(self.folder)

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
        """Return what to say of an error of a start that lies in the machine: a full disk, a database that is away."""
        found = refusal(error)
        if found is not None:
            return HostError(f"{found.message} ({self.place})")
        if isinstance(error, OSError):
            what = "the disk is full; free space on it" if is_full(error) else error.strerror or str(error)
            return HostError(f"{error.filename or self.folder}: {what}")
        return None


def is_full(error: BaseException) -> bool:
    """Tell whether an error is that there is no room on a disk."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
