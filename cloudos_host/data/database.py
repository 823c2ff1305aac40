"""The database: readers in a few threads, one writer thread that groups its commits.

SQLite by default (WAL, foreign keys, busy time-out, each commit on the disk), PostgreSQL by URL; the same code on both.
The driver is left in autocommit and every transaction begins explicitly, a write with BEGIN IMMEDIATE: the default lets
two writers read the same row and lose an update, and leaves half of a failed migration behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cloudos_sdk import DatabaseUnavailable
from cloudos_sdk.addresses import address_share
from cloudos_sdk.identity import caller
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from cloudos_host.data.database_failure import ENDED, goes_on, lasts, refusal, unavailable
from cloudos_host.data.read_limit import ActiveRead
from cloudos_host.data.reader_pool import ReaderPool

T = TypeVar("T")

_BATCH = 64
_CONNECT_LIMIT = 10  # seconds for a server to answer
_LOCK_LIMIT = 10_000  # milliseconds that a write waits for what another process holds
_OWN_READ_LIMIT = 300.0  # seconds of a read that the node makes for itself: a verification of the whole audit log


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path}"


def make_engine(
    url: str, *, writes: bool, size: int, read_limit: float = _OWN_READ_LIMIT, sync: str = "full"
) -> Engine:
    """Return an engine whose transactions begin explicitly."""
    if not url.startswith("sqlite"):
        bound = f"lock_timeout={_LOCK_LIMIT}" if writes else f"statement_timeout={int(read_limit * 1000)}"
        arguments = {"connect_timeout": _CONNECT_LIMIT, "options": f"-c {bound}"}
        return create_engine(url, pool_size=size, max_overflow=0, pool_pre_ping=True, connect_args=arguments)
    engine = create_engine(
        url, pool_size=size, max_overflow=0, connect_args={"isolation_level": None, "check_same_thread": False}
    )
    # Many rows in one statement: for each statement the thread gives the interpreter away and must get it back, which
    # under load takes six times the CPU of the row.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", f"synchronous={sync}", "foreign_keys=ON", f"busy_timeout={_LOCK_LIMIT}"):
            cursor.execute(f"PRAGMA {pragma}")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class _Ended(Exception):
    """The transaction was ended by the database, whatever is said to it now."""


@dataclass
class _Write:
    fn: Callable[[Session], Any]
    context: contextvars.Context
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None
    after: list[Callable[[], None]] = field(default_factory=list)

    def fail(self, cause: BaseException) -> None:
        """Note why it was not written: its own error, or the one that ended the transaction in which it was."""
        if self.error is None:
            self.error = refusal(cause) or (unavailable(ENDED) if isinstance(cause, _Ended) else cause)
            if self.error is not cause:
                self.error.__cause__ = cause

    def settle(self) -> None:
        """Run the callbacks of the commit and deliver the result. Called on the event loop."""
        if self.error is None:
            for fn in self.after:
                try:
                    fn()
                except BaseException as error:  # noqa: BLE001 - the commit stands; the caller must not wait for ever
                    context = {"message": "work after a commit failed", "exception": error}
                    self.loop.call_exception_handler(context)
        if not self.future.done():
            if self.error is None:
                self.future.set_result(self.result)
            else:
                self.future.set_exception(self.error)


class Database:
    """One database, as `cloudos_sdk.Database` promises it to plugins."""

    def __init__(self, url: str, *, readers: int = 3, read_limit: float = 15.0, sync: str = "full") -> None:
        self.url = url
        self.dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
        self.write_engine = make_engine(url, writes=True, size=2, sync=sync)
        self._read_engine = make_engine(url, writes=False, size=readers, read_limit=read_limit)
        self._readers = ReaderPool(readers)
        self._read_limit = read_limit
        self._reading: set[ActiveRead] = set()
        self.trouble: DatabaseUnavailable | None = None
        """The last failure of its own state, until somebody has seen it work again."""
        self.refuses_writes: DatabaseUnavailable | None = None
        """Why nothing is written now: another host has taken the database."""
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None

    async def read(self, fn: Callable[[Session], T]) -> T:
        """Run `fn` in a snapshot that must not write."""
        who = caller()
        name = who.principal.user_id if who.principal is not None else who.address and address_share(who.address)
        limit = self._read_limit if name is not None else _OWN_READ_LIMIT
        reading = ActiveRead(limit)
        self._reading.add(reading)
        try:
            result: T = await asyncio.wrap_future(self._readers.submit(name, partial(self._read, fn, reading)))
            return result
        except SQLAlchemyError as error:
            if (refused := refusal(error)) is None:
                raise
            self._note(refused)
            raise refused from error
        finally:
            reading.over = True  # whoever asked has gone, or has the answer
            self._reading.discard(reading)

    def _read(self, fn: Callable[[Session], T], reading: ActiveRead) -> T:
        with Session(self._read_engine, expire_on_commit=False) as session, reading.bounded(session):
            return fn(session)

    async def write(self, fn: Callable[[Session], T]) -> T:
        """Run `fn` in a transaction; writes that wait at the same time share one commit.

        The write goes through even when the caller is cancelled.
        """
        if self.refuses_writes is not None:
            raise DatabaseUnavailable(self.refuses_writes.message, code=self.refuses_writes.code, retry_after=5)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="db-write", daemon=True)
            self._writer.start()
        loop = asyncio.get_running_loop()
        job = _Write(fn, contextvars.copy_context(), loop.create_future(), loop)
        self._queue.put(job)
        result: T = await job.future
        return result

    def after_commit(self, session: Session, fn: Callable[[], None]) -> None:
        """Have `fn` called on the event loop once the transaction of `session` is committed."""
        session.info.setdefault("after_commit", []).append(fn)

    async def close(self) -> None:
        """Finish the writes that wait and close every connection."""
        for reading in list(self._reading):
            reading.over = True
        if self._writer is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None
        self._readers.shutdown()
        self._read_engine.dispose()
        self.write_engine.dispose()

    def _write_all(self) -> None:
        stop = False
        while not stop:
            first = self._queue.get()
            if first is None:
                return
            batch = [first]
            while len(batch) < _BATCH:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                batch.append(more)
            self._commit(batch)

    def _commit(self, batch: list[_Write]) -> None:
        left = batch
        while left:  # what came behind an error that ended the transaction was not run yet
            left = left[self._transact(left) :]
        loops = {job.loop for job in batch}
        for loop in loops:
            mine = [job for job in batch if job.loop is loop]
            try:
                loop.call_soon_threadsafe(_settle, mine)
            except RuntimeError:  # the loop is gone: nobody waits any more, the commit stands
                continue

    def _transact(self, jobs: list[_Write]) -> int:
        """Run jobs in one transaction until it fails; return how many were committed or failed.

        An error that ends it (a full disk: SQLite rolls all of it back) is the error of everyone in it. They are not
        run again: what they were given may carry the mark of the first run.
        """
        run = 0
        try:
            with self.write_engine.connect() as connection, connection.begin():
                for job in jobs:
                    run += 1
                    self._apply(job, connection)
                    if not goes_on(connection):
                        raise _Ended from job.error
        except BaseException as error:  # noqa: BLE001 - every waiting caller gets it, the writer goes on
            run = run or len(jobs)
            for job in jobs[:run]:
                job.fail(error)
        for job in jobs[:run]:
            self._note(job.error)
        return run

    def _note(self, error: BaseException | None) -> None:
        if isinstance(error, DatabaseUnavailable) and lasts(error):
            self.trouble = error

    def _apply(self, job: _Write, connection: Connection) -> None:
        try:
            self._run(job, connection)
        except BaseException as error:  # noqa: BLE001 - it is this job's alone, back at its savepoint; the others commit
            job.fail(error)

    def _run(self, job: _Write, connection: Connection) -> None:
        with Session(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
            job.result = job.context.run(job.fn, session)
            session.flush()
            job.after = session.info.pop("after_commit", [])
            session.commit()


def _settle(jobs: list[_Write]) -> None:
    for job in jobs:
        job.settle()
