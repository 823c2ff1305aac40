"""The context of a plugin: `ctx`. It gives no access to the application or the host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from sqlmodel import Session

from cloudos_sdk.events import Envelope, Event

T = TypeVar("T")


class Clock(Protocol):
    """Time from outside, so that tests can hold it."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Database(Protocol):
    """The plugin's way to the database. `fn(session)` is plain synchronous code and runs in a thread.

    Both raise DatabaseUnavailable where the database is full, away or broken.
    """

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        ...

    async def read(self, fn: Callable[[Session], T]) -> T:
        """Run `fn` in a snapshot that must not write."""
        ...

    async def write(self, fn: Callable[[Session], T]) -> T:
        """Run `fn` in a transaction of its own, alone; commit when it returns, roll back when it raises.

        `fn` must not wait for anything but the database. Work that shares its commit may be run beside it.
        """
        ...

    def after_commit(self, session: Session, fn: Callable[[], None]) -> None:
        """Have `fn` called on the event loop once the transaction of `session` is committed."""
        ...


class Events(Protocol):
    """The outbox and its readers."""

    def emit(self, session: Session, event: Event) -> str:
        """Store `event` in the transaction of `session`, attributed to the caller in hand; return its id."""
        ...

    def subscribe(
        self,
        handler: Callable[[Envelope], Awaitable[None]],
        *types: type[Event] | str,
        name: str,
        from_start: bool = False,
    ) -> None:
        """Have `handler` called for each event of `types` ("*" is all), in order, at least once.

        The place reached is kept under `name` over restarts; a new name begins at the end of the log, or with
        `from_start` at its oldest event. A handler that raises is called again with back-off; after eight tries
        the event is set aside and the next one follows.
        """
        ...

    def subscribe_batches(
        self,
        handler: Callable[[Sequence[Envelope]], Awaitable[None]],
        *types: type[Event] | str,
        name: str,
        from_start: bool = False,
    ) -> None:
        """Call `handler` with all pending events, up to 200, in order, so that it can store them in one transaction.

        As `subscribe` otherwise. Where it raises it is called again with one event at a time.
        """
        ...

    def announce(self, type: str, data: Mapping[str, Any], *, audience: str, resource: str = "") -> None:
        """Send something to the current listeners of `/api/events` without storing it, e.g. progress or samples."""
        ...


class Licence(Protocol):
    """The node's plan and the features it includes."""

    @property
    def plan(self) -> str:
        """`community`, `pro`, `business` or `enterprise`; may change at any time."""
        ...

    def has(self, feature: str) -> bool:
        """Return whether the plan includes `feature`."""
        ...

    def require(self, feature: str) -> None:
        """Raise UpgradeRequired if the plan does not include `feature`."""
        ...

    def limit(self, name: str) -> int | None:
        """Return a limit of the plan, e.g. `mcp_rate_per_minute`; None is unlimited."""
        ...


class Secrets(Protocol):
    """Encryption at rest under the host's key, which lies outside the database. Each plugin has its own key."""

    def encrypt(self, plain: str) -> str:
        """Return text that only this plugin on this host can decrypt."""
        ...

    def decrypt(self, cipher: str) -> str:
        """Return the plain text. Raises ValueError if the text was not encrypted with this plugin's key."""
        ...

    def digest(self, secret: str) -> str:
        """Return a keyed hash (HMAC-SHA-256, hex) of a random secret, to find it again without keeping it."""
        ...


class Operation(Protocol):
    """Long work, while it runs."""

    id: str
    resource: str
    input: Mapping[str, Any]
    resumed: bool
    """It was running when the host last stopped: look at what is there before doing it again."""
    cancel_requested: bool
    """Somebody cancelled it. A CancelledError without this is the host stopping: leave things to be resumed."""

    async def progress(self, fraction: float, message: str, **detail: Any) -> None:
        """Report progress from 0 to 1 and the current step. Sent to listeners at once, stored at most once a second."""
        ...


class Operations(Protocol):
    """Long work that survives a restart: rows, progress, cancel."""

    def register(
        self, kind: str, runner: Callable[[Operation], Awaitable[Mapping[str, Any] | None]], *, audience: str = ""
    ) -> None:
        """Name the code that does `kind`; unfinished ones of it are run again now, with `resumed` set.

        What the runner returns is the operation's result; what it raises its error. Those who have the permission
        `audience` see its operations; without one, an operation is seen by the user who started it, and by admins.
        """
        ...

    def start(self, session: Session, kind: str, resource: str, title: str, input: Mapping[str, Any]) -> str:
        """Add an operation in the transaction of `session` and run it after the commit; return its id."""
        ...

    async def cancel(self, operation_id: str) -> None:
        """Ask a running operation to stop and clean up."""
        ...


class Tasks(Protocol):
    """Work beside the requests: for all that runs longer than one of them. Never a bare `asyncio.create_task`."""

    def start(self, name: str, fn: Callable[[], Awaitable[object]], *, restart: bool = True) -> asyncio.Task[None]:
        """Run `fn` in the plugin's name until it returns, is cancelled, or the plugin has stopped.

        What it raises is logged and makes the plugin's health bad with the reason; after a pause, from a second to a
        minute, it is begun again, and health is good again once it works. With `restart=False` it is run once.
        """
        ...


@runtime_checkable
class Context(Protocol):
    """Everything a plugin gets from the host."""

    @property
    def id(self) -> str:
        """The plugin's id."""
        ...

    @property
    def settings(self) -> Any:
        """Its settings: an instance of the model in its manifest."""
        ...

    @property
    def data_dir(self) -> Path:
        """Its folder, made at first use, mode 0700."""
        ...

    @property
    def api_socket(self) -> Path | None:
        """The Unix socket, mode 0600, on which the host serves its API too; None while it does not.

        A port of loopback is anybody's once the host is down; the socket is never. So a program of the node's own that
        outlives the host dials the socket.
        """
        ...

    @property
    def log(self) -> Any:
        """Its structured log: `ctx.log.info("peer added", peer=peer.id)`."""
        ...

    @property
    def db(self) -> Database:
        """The database."""
        ...

    @property
    def events(self) -> Events:
        """The events."""
        ...

    @property
    def licence(self) -> Licence:
        """The plan."""
        ...

    @property
    def operations(self) -> Operations:
        """The long work."""
        ...

    @property
    def tasks(self) -> Tasks:
        """The background work."""
        ...

    @property
    def secrets(self) -> Secrets:
        """The encryption."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    def provide(self, capability: type[T], implementation: T) -> None:
        """Give an object to others under a capability of the manifest, or to its own routes under its class."""
        ...

    def use(self, capability: type[T]) -> T:
        """Return the first provider. Raises Unavailable (503) if there is none."""
        ...

    def find(self, capability: type[T]) -> T | None:
        """Return the first provider, or None."""
        ...

    def all(self, capability: type[T]) -> list[T]:
        """Return all providers, in start order."""
        ...


_context: ContextVar[Context] = ContextVar("cloudos_context")


def current() -> Context:
    """Return the context of the plugin whose endpoint, job or operation this is; LookupError elsewhere."""
    return _context.get()


def use(capability: type[T]) -> T:
    """Return `current().use(capability)`: how a route comes by its service."""
    return _context.get().use(capability)


def enter_context(ctx: Context) -> None:
    """Set the plugin in whose name this task works. For the host's gate and runners."""
    _context.set(ctx)
