"""What an app keeps, and how it is held still, copied and put back: for backups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Hold = Literal["none", "pause", "stop", "close"]
"""How an app is held: not at all; its programs frozen; stopped; stopped until it is let go, over restarts too."""

Making = Literal["again", "beside", "trial"]
"""What a new app is: one that was there before; another one, with ports and folders of its own; one for a trial, of
which nobody else is told and which stays held until it is removed."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder or file of the machine with data of an app: a volume, or a path that its template marks as data.

    `path` is empty for a volume that is gone.
    """

    name: str
    path: str
    volume: bool


@dataclass(frozen=True, slots=True)
class DataDump:
    """A copy that a service makes of its own data: the dump's name, and the folders for which it stands."""

    name: str
    service: str
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppContents:
    """All that a backup has of an app. `definition` is JSON by which it is made again; it holds secrets.

    `hold` is how the app is to be held while its folders are read. A folder that is neither here nor below the paths of
    `folders` is no data of the app.
    """

    id: str
    name: str
    template: str
    version: str
    running: bool
    hold: Hold
    folders: Sequence[DataFolder]
    dumps: Sequence[DataDump]
    definition: str


class AppData(Protocol):
    """The data of the installed apps. Every method but `check` may be called by an operation."""

    async def contents(self, app_id: str) -> AppContents | None:
        """Return what an app consists of; None where there is none that was ever installed. Raises Unavailable."""
        ...

    async def hold(self, app_id: str, how: Hold) -> None:
        """Hold an app, so that nobody starts, stops or changes it. Held again, it is held as said last.

        `pause` and `stop` end with the host at the latest: the app goes on at the next start. Raises Conflict.
        """
        ...

    async def let_go(self, app_id: str, *, wait: bool = False) -> None:
        """Let an app go on as it is meant to; with `wait` until it is well. Raises where it does not become so."""
        ...

    async def dump(self, app_id: str, name: str, path: str) -> None:
        """Have a running app write one of its dumps into the file `path`. Raises CloudOSError."""
        ...

    async def load(self, app_id: str, name: str, path: str) -> None:
        """Have the service of a dump, alone, read it from the file `path`; the app is held as `close`."""
        ...

    async def check(self, definition: str, app_id: str, making: Making | None) -> Sequence[str]:
        """Return the rights that an app made by `definition` has, where who asks may give it those.

        With `making` None it is an app that is there and is to become so. Raises Forbidden, Conflict.
        """
        ...

    async def make(
        self, definition: str, name: str, *, app_id: str, making: Making, rights: Sequence[str]
    ) -> AppContents:
        """Make an app of this id and name, with its images and empty folders there, held as `close`.

        `rights` are what `check` returned. Raises CloudOSError; then nothing of it is left.
        """
        ...

    async def prepare(self, app_id: str) -> AppContents:
        """Have images and folders of an app there, some of which may be gone; the app is held as `close`."""
        ...

    async def define(self, app_id: str, definition: str) -> str:
        """Change an app to what `definition` says, with the rights that it has; return the definition of before.

        The app is held as `close`. Raises Forbidden.
        """
        ...

    async def remove(self, app_id: str) -> None:
        """Remove an app with all its data; it may be gone already."""
        ...
