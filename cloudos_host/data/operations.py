"""Long work: rows that survive a restart, progress, cancel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import CloudOSError, Conflict, DatabaseUnavailable, NotFound, Principal, Role, iso, new_id
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as, caller
from sqlalchemy import delete, select, update
from sqlmodel import Session

from cloudos_host.containment import contained, sentence_of
from cloudos_host.data.database import Database
from cloudos_host.data.models import OperationRow
from cloudos_host.data.retried_write import write_surely

Runner = Callable[[Any], Awaitable[Mapping[str, Any] | None]]

_TABLE = OperationRow.__table__
_OPEN = ("queued", "running")


@dataclass
class RunningOperation:
    """An operation while its runner works on it."""

    id: str
    resource: str
    input: Mapping[str, Any]
    resumed: bool
    owner: PluginOperations
    audience: str
    cancel_requested: bool = False
    task: asyncio.Task[None] | None = None
    stored_at: float = 0.0

    async def progress(self, fraction: float, message: str, **detail: Any) -> None:
        """Report how far it is; shown at once, stored at most once a second."""
        fraction = min(1.0, max(0.0, fraction))
        data = {"operation_id": self.id, "progress": fraction, "message": message, "detail": detail}
        ctx = self.owner.context
        ctx.events.announce("operation.progressed", data, audience=self.audience, resource=self.resource)
        now = ctx.clock.monotonic()
        if now - self.stored_at >= 1.0 or fraction == 1.0:
            self.stored_at = now
            with contextlib.suppress(DatabaseUnavailable):  # how far it is, is no reason for it to fail
                await self.owner.store(self.id, progress=fraction, message=message)


class PluginOperations:
    """The operations of one plugin."""

    def __init__(self, db: Database, log: Any) -> None:
        self._db = db
        self._log = log
        self.context: Any = None
        self._runners: dict[str, Runner] = {}
        self._audiences: dict[str, str] = {}
        self._running: dict[str, RunningOperation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, kind: str, runner: Runner, *, audience: str = "") -> None:
        """Register the function and audience of `kind`, and resume its unfinished operations."""
        self._runners[kind] = runner
        self._audiences[kind] = audience
        task = self.context.tasks.start(f"unfinished {kind}", partial(self._resume, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start(self, session: Session, kind: str, resource: str, title: str, input: Mapping[str, Any]) -> str:
        """Add an operation in the transaction of `session`; it runs after the commit."""
        origin = caller()
        actor = origin.actor()
        row = OperationRow(
            id=new_id("op"),
            plugin=self.context.id,
            kind=kind,
            resource=resource,
            title=title,
            input=self.context.secrets.encrypt(orjson.dumps(dict(input)).decode()),
            state="queued",
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            address=actor.address,
            owner=origin.principal.user_id if origin.principal is not None else "",
            audience=self._audiences.get(kind, ""),
            created_at=self.context.clock.now(),
        )
        session.add(row)
        self._db.after_commit(session, lambda: self._launch(row, resumed=False))
        return row.id

    async def cancel(self, operation_id: str) -> None:
        """Ask a running operation to stop and clean up."""
        running = self._running.get(operation_id)
        if running is None or running.task is None:
            raise Conflict("operation_finished", "The operation is not running; there is nothing to cancel.")
        running.cancel_requested = True
        running.task.cancel()

    def owns(self, operation_id: str) -> bool:
        """Return whether the operation runs in this process."""
        return operation_id in self._running

    async def stop(self) -> None:
        """Interrupt running operations; the next start resumes them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        self._runners.clear()

    async def store(self, id: str, **values: Any) -> None:
        """Change an operation's row."""
        await self._db.write(lambda s: s.execute(update(_TABLE).where(_TABLE.c.id == id).values(**values)))

    async def _surely(self, id: str, what: str, **values: Any) -> None:
        change = update(_TABLE).where(_TABLE.c.id == id).values(**values)
        await write_surely(
            self._db, self.context.clock, self._log, f"the {what} of operation {id}", lambda s: s.execute(change)
        )

    async def _resume(self, kind: str) -> None:
        plugin = self.context.id
        statement = select(OperationRow).where(
            _TABLE.c.plugin == plugin, _TABLE.c.kind == kind, _TABLE.c.state.in_(_OPEN)
        )
        for row in await self._db.read(lambda s: s.execute(statement).scalars().all()):
            if row.id not in self._running:
                self._launch(row, resumed=row.state == "running")

    def _launch(self, row: OperationRow, *, resumed: bool) -> None:
        runner = self._runners.get(row.kind)
        if runner is None or row.id in self._running:
            return  # its plugin registers the kind when it starts, and takes it up then
        input = orjson.loads(self.context.secrets.decrypt(row.input))
        running = RunningOperation(row.id, row.resource, input, resumed, self, audience_of(row))
        self._running[row.id] = running
        running.task = asyncio.create_task(self._run(running, row, runner), name=f"operation:{row.id}")
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)

    async def _run(self, running: RunningOperation, row: OperationRow, runner: Runner) -> None:
        enter_context(self.context)
        act_as(_origin(row))
        clock = self.context.clock
        try:
            await self._surely(row.id, "begin", state="running", started_at=clock.now())
            result = await contained(runner(running))
            end = {"state": "succeeded", "progress": 1.0, "result": orjson.dumps(dict(result or {})).decode()}
        except asyncio.CancelledError:
            if not running.cancel_requested:
                self._running.pop(row.id, None)
                raise
            end = {"state": "cancelled", "message": "Cancelled."}
        except CloudOSError as error:
            end = {"state": "failed", "message": error.message, "error": orjson.dumps(error.body()).decode()}
        except Exception as error:  # noqa: BLE001 - plugin code; the operation carries the failure
            self._log.error("operation failed", operation=row.id, kind=row.kind, exc_info=error)
            self.context.faults.note(f"operation {row.kind}", error)
            body = {"error": "operation_failed", "message": sentence_of(error)}
            end = {"state": "failed", "message": body["message"], "error": orjson.dumps(body).decode()}
        self._running.pop(row.id, None)
        await self._surely(row.id, "end", finished_at=clock.now(), **end)
        data = {"operation_id": row.id, "state": end["state"], "message": end.get("message", "")}
        self.context.events.announce("operation.finished", data, audience=audience_of(row), resource=row.resource)


def _origin(row: OperationRow) -> Caller:
    """Return the caller who started the operation; its events are attributed to them."""
    if row.actor_kind == "system":
        return Caller(None)
    return Caller(Principal(row.actor_kind, row.actor_id, row.actor_name, Role.VIEWER, row.actor_id), row.address)


def audience_of(row: OperationRow) -> str:
    """Return the audience of an operation: a permission, or one user (`user:<id>`)."""
    return str(row.audience or f"user:{row.owner}")


def public(row: OperationRow) -> dict[str, Any]:
    """Return an operation as the API shows it; its input stays here."""
    return {
        "id": row.id,
        "kind": row.kind,
        "resource": row.resource,
        "title": row.title,
        "state": row.state,
        "progress": row.progress,
        "message": row.message,
        "result": orjson.loads(row.result) if row.result else None,
        "error": orjson.loads(row.error) if row.error else None,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at) if row.started_at else None,
        "finished_at": iso(row.finished_at) if row.finished_at else None,
    }


async def prune(db: Database, before: datetime) -> None:
    """Forget the operations that ended before `before`."""
    await db.write(lambda s: s.execute(delete(_TABLE).where(_TABLE.c.finished_at < before)))


async def load(db: Database, operation_id: str, visible: Callable[[str], bool]) -> OperationRow:
    """Return an operation whose audience is `visible`. Raises NotFound."""
    row = await db.read(lambda s: s.get(OperationRow, operation_id))
    if row is None or not visible(audience_of(row)):
        raise NotFound("operation", operation_id)
    return row
