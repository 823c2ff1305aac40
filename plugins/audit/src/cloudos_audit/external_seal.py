"""The log's last position outside of the database: in a file, and sent to a syslog server.

The head in the database is sealed, but an older one was sealed too. So number and hash of the newest entry are written
to a file after each commit, and never taken back: a database that was turned back ends before it. Who may write
the data folder can turn the file back as well; against that helps only what has left the node.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlmodel import Session

from cloudos_audit.chain import Seal
from cloudos_audit.chain_head import CHECKPOINT, ENTRY
from cloudos_audit.raw_columns import exact, plain


@dataclass(frozen=True)
class Position:
    """An entry by number and hash: all of the log up to it follows from the hash."""

    number: int
    hash: str

    def held(self, session: Session, dialect: str) -> bool | None:
        """Return whether the log has this entry; None if older than the retention."""
        found = session.execute(select(exact(ENTRY.c.hash, dialect)).where(ENTRY.c.seq == self.number)).first()
        if found is not None:
            return bool(plain(found[0]) == self.hash)
        newest = select(CHECKPOINT.c.seq, CHECKPOINT.c.entry_hash).order_by(CHECKPOINT.c.id.desc()).limit(1)
        pruned = session.execute(newest).first()
        if pruned is None or self.number >= pruned.seq:
            return False
        return bool(pruned.entry_hash == self.hash) if self.number == pruned.seq - 1 else None


class BrokenPosition(Exception):
    """The file is not as it was written."""


class PositionFile:
    """The file. It is replaced whole, and only forward."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._seal = seal

    def read(self) -> Position | None:
        """Return the last position, or None. Raises BrokenPosition."""
        try:
            stored = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if not stored:  # the mark of an earlier version
            return None
        try:
            said = orjson.loads(stored)
            position = Position(said["number"], said["hash"])
            sound = self._seal.holds(said["mac"], self._seal.position(position.number, position.hash))
        except (ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            raise BrokenPosition
        return position

    def write(self, position: Position) -> None:
        """Write a position atomically and durably."""
        mac = self._seal.position(position.number, position.hash)
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps({"number": position.number, "hash": position.hash, "mac": mac}))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync(self._path.parent)


class DurableFile:
    """Makes commits durable over a loss of power before positions are published.

    SQLite in WAL mode with `synchronous=NORMAL` does so only from time to time, and a position that the database
    lost would be taken for tampering.
    """

    def __init__(self, session: Session, dialect: str) -> None:
        self._log: Path | None = None
        if dialect == "sqlite":
            name = session.execute(text("PRAGMA database_list")).first()
            self._log = Path(f"{name[2]}-wal") if name is not None and name[2] else None

    def sync(self) -> None:
        """Make it last."""
        if self._log is not None:
            with contextlib.suppress(FileNotFoundError):
                _sync(self._log)


class Syslog:
    """Sends each position to a syslog server (RFC 5424, facility 13), so that a copy is outside of the node."""

    def __init__(self, target: str, log: Any) -> None:
        self._log = log
        self._target = target
        self._handler: SysLogHandler | None = None
        self._told = False

    def tell(self, position: Position) -> None:
        """Send a position; a syslog that cannot be reached is told of in the log, once."""
        try:
            handler = self._handler = self._handler or self._open()
            said = f"cloudos-audit: sealed number={position.number} hash={position.hash}"
            handler.emit(logging.LogRecord("cloudos.audit", logging.INFO, "", 0, said, None, None))
            self._told = False
        except OSError as error:
            if not self._told:
                self._log.warning("the audit log's syslog cannot be reached", target=self._target, error=str(error))
            self._told = True

    def close(self) -> None:
        """Close the socket."""
        if self._handler is not None:
            self._handler.close()

    def _open(self) -> SysLogHandler:
        host, _, port = self._target.rpartition(":")
        address = self._target if self._target.startswith("/") else (host.strip("[]"), int(port))
        return _Handler(address, facility=13)


class _Handler(SysLogHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the handler's error."""
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
