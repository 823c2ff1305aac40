"""The lock on a database: one host at a time uses it, whatever data folder it has."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

from cloudos_sdk import DatabaseUnavailable
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from cloudos_host.data.database import Database
from cloudos_host.data.folder_lock import lock_file

_LOOK = 5.0
_NUMBER = 0x636C6F75646F74  # names our lock among those of the server
_PATIENCE = {  # a server that fell silent is noticed within half a minute
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20000,
}
_TAKE = text("SELECT pg_try_advisory_lock(:number)")
_HOLDER = text(
    "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'its own machine') AS address"
    " FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = :number"
)


class DatabaseLock:
    """Held for the life of the host: PostgreSQL's advisory lock on a connection of its own, or a file beside SQLite's.

    `holder` says who has it instead.
    """

    def __init__(self, url: str, log: Any) -> None:
        self._url = make_url(url)
        self._log = log
        self._name = f"cloudos {secrets.token_hex(8)}"
        self._handle: int | None = None
        self._connection: Connection | None = None
        self.holder: str | None = None

    def take(self) -> bool:
        """Take the lock; False if another host holds it. Raises the database's errors."""
        if self._url.get_backend_name() == "sqlite":
            if self._url.database and self._handle is None:
                self._handle = lock_file(Path(f"{self._url.database}.lock"))
                self.holder = None if self._handle is not None else "a host on this machine"
            return self.holder is None
        arguments = {"application_name": self._name, **_PATIENCE}
        engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
        connection = engine.connect()
        try:
            self.holder = self._take_with(connection)
        except BaseException:
            connection.close()
            raise
        if self.holder is not None:
            connection.close()
            return False
        self._connection = connection
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    async def keep(self, db: Database) -> None:
        """Watch the lock: take it again after a lost connection, and refuse writes while another host holds it."""
        while self._url.get_backend_name() != "sqlite":
            await asyncio.sleep(_LOOK)
            await self.look(db)

    async def look(self, db: Database) -> None:
        """Check the lock once. Raises the database's errors."""
        if await asyncio.to_thread(self._held):
            return
        self._log.warning("the connection that holds the lock on the database was lost; taking it again")
        if await asyncio.to_thread(self.take):
            db.refuses_writes = None
            self._log.info("the lock on the database is held again")
            return
        self._log.error("another host has taken the database", holder=self.holder)
        message = "Another host has taken the node's database; stop one of the two (`cloudos doctor` names it)."
        db.trouble = db.refuses_writes = DatabaseUnavailable(message, code="database_taken", retry_after=5)
        raise db.refuses_writes

    def _held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def _take_with(self, connection: Connection) -> str | None:
        """Take the lock; return another holder, or None. Ends a lost connection of ours that still holds it."""
        for _ in range(2):
            if connection.execute(_TAKE, {"number": _NUMBER}).scalar():
                return None
            holder = connection.execute(_HOLDER, {"number": _NUMBER}).first()
            if holder is None:
                continue
            if holder.application_name != self._name:
                return f"{holder.application_name} at {holder.address}"
            connection.execute(text("SELECT pg_terminate_backend(:pid, 2000)"), {"pid": holder.pid})
        return "another session"
