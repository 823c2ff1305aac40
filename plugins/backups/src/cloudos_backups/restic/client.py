"""What is asked of restic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
from cloudos_sdk import Context

from cloudos_backups.restic.errors import RepositoryDamaged, RepositoryLocked, ResticFailed, ResticKilled
from cloudos_backups.restic.messages import Made, Node, Snapshot, Status, made_of, node_of, read_line, snapshot_of
from cloudos_backups.restic.messages import status_of as read_status
from cloudos_backups.restic.process import ResticProcess
from cloudos_backups.restic.repository import Repository

T = TypeVar("T")
Told = Callable[[Status], None]
_INCOMPLETE = 3
_MOST_UNREAD = 100
_LOCK_PAUSE = 5.0
_SPEAKS_OF_RESTORES = (0, 16)


def literal(path: str) -> str:
    """Return the pattern that fits exactly one path."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in path)


class Restic:
    """restic, as the other rooms know it. A lock of a run that has died is taken away, others are waited for."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._process = ResticProcess(ctx)

    async def version(self) -> str:
        """Return restic's version. Raises ResticMissing."""
        return ".".join(str(part) for part in await self._process.version())

    async def init(self, repository: Repository) -> None:
        """Make a repository. Raises RepositoryExists and what `errors` has."""
        await self._process.run(repository, "init")

    async def open(self, repository: Repository) -> None:
        """Open a repository and read its settings. Raises RepositoryMissing, WrongKey and others."""
        await self._process.run(repository, "--no-lock", "cat", "config")

    async def backup(
        self,
        repository: Repository,
        paths: Sequence[str],
        *,
        host: str,
        tags: Sequence[str],
        exclude: Sequence[str] = (),
        told: Told | None = None,
    ) -> Made:
        """Make a snapshot of paths."""
        words = ["backup", "--json", "--host", host]
        words += [word for tag in tags for word in ("--tag", tag)]
        words += [word for path in exclude for word in ("--exclude", literal(path))]
        return await self._locked(repository, lambda: self._backup(repository, [*words, "--", *paths], told))

    async def _backup(self, repository: Repository, words: Sequence[str], told: Told | None) -> Made:
        unread: list[str] = []
        summary: list[Any] = []

        def line(found: bytes) -> None:
            message = read_line(found)
            if message is None:
                return
            if message.get("message_type") == "status" and told is not None:
                told(read_status(message))
            elif message.get("message_type") == "summary":
                summary.append(message)

        def complaint(found: bytes) -> None:
            message = read_line(found)
            if message is not None and message.get("message_type") == "error" and len(unread) < _MOST_UNREAD:
                error = message.get("error") or {}
                why = error.get("message") or error.get("Err") or error.get("Op") or "cannot be read"
                unread.append(f"{message.get('item', '')}: {why}")

        code = await self._process.run(repository, *words, line=line, complaint=complaint, fine=(0, _INCOMPLETE))
        if not summary:
            raise ResticFailed("restic made no snapshot and did not say why.")
        if code == _INCOMPLETE and not unread:
            unread.append("some files could not be read")
        return made_of(summary[-1], unread)

    async def snapshots(self, repository: Repository, *tags: str) -> list[Snapshot]:
        """Return the snapshots that have all tags, oldest first."""
        words = ["--no-lock", "snapshots", "--json", *(["--tag", ",".join(tags)] if tags else [])]
        found = orjson.loads(await self._said(repository, words) or b"[]")
        return sorted((snapshot_of(entry) for entry in found or ()), key=lambda snapshot: snapshot.time)

    async def nodes(
        self, repository: Repository, snapshot: str, *folders: str, deep: bool = False
    ) -> AsyncIterator[Node]:
        """Yield what is directly in folders of a snapshot, or with `deep` all that is below them."""
        words = ["--no-lock", "ls", "--json", *(["--recursive"] if deep else []), snapshot, *folders]
        left = b""
        async with contextlib.aclosing(self._process.stream(repository, *words)) as pieces:
            async for piece in pieces:
                *lines, left = (left + piece).split(b"\n")
                for line in lines:
                    message = read_line(line)
                    if message is not None and message.get("struct_type", message.get("message_type")) == "node":
                        yield node_of(message)

    def content(
        self, repository: Repository, snapshot: str, path: str, archive: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the content of a file of a snapshot, or with `archive` (tar or zip) of a folder."""
        words = ["--no-lock", "dump", *(["--archive", archive] if archive else []), snapshot, path]
        return self._process.stream(repository, *words)

    async def restore(
        self,
        repository: Repository,
        snapshot: str,
        into: str,
        paths: Sequence[str],
        *,
        size: int = 0,
        told: Callable[[int], None] | None = None,
    ) -> None:
        """Restore paths of a snapshot below the folder `into`; `told` hears how many bytes are written."""
        words = ["--no-lock", "restore", snapshot, "--target", into]
        words += [word for path in paths for word in ("--include", literal(path))]
        json = await self._process.version() >= _SPEAKS_OF_RESTORES
        watching: list[asyncio.Task[None]] = []

        def line(found: bytes) -> None:
            message = read_line(found)
            if told is not None and message is not None and message.get("message_type") == "status":
                told(read_status(message).bytes)

        def begun(pid: int) -> None:
            if told is not None and not json:
                task = self._ctx.tasks.start("bytes of a restore", lambda: _watch(pid, size, told), restart=False)
                watching.append(task)

        try:
            await self._process.run(repository, *(["--json"] if json else []), *words, line=line, pid=begun)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def to_forget(self, repository: Repository, tags: Sequence[str], keep: Sequence[str]) -> list[str]:
        """Return the snapshots with all tags that a policy (`--keep-…`) does not keep."""
        words = ["--no-lock", "forget", "--dry-run", "--json", "--group-by", "", "--tag", ",".join(tags), *keep]
        said = await self._said(repository, words)
        groups: list[Any] = next((orjson.loads(line) for line in said.splitlines() if line.startswith(b"[")), [])
        return [str(entry["short_id"]) for group in groups for entry in group.get("remove") or ()]

    async def forget(self, repository: Repository, snapshots: Sequence[str], *, prune: bool) -> None:
        """Remove snapshots, and with `prune` the data that no other one needs."""
        if snapshots:
            await self._locked(repository, lambda: self._process.run(repository, "forget", *snapshots))
        if prune:
            await self._locked(repository, lambda: self._process.run(repository, "prune"))

    async def check(self, repository: Repository, percent: int) -> None:
        """Look at the whole structure and read a share of the data. Raises RepositoryDamaged."""
        share = f"--read-data-subset={percent}%" if percent < 100 else "--read-data"
        try:
            await self._locked(repository, lambda: self._process.run(repository, "check", share))
        except ResticFailed as error:
            if type(error) is not ResticFailed:
                raise
            raise RepositoryDamaged(error.message) from None

    async def unlock(self, repository: Repository) -> None:
        """Take away the locks of runs that have died."""
        await self._process.run(repository, "unlock")

    async def size(self, repository: Repository) -> int:
        """Return how many bytes of data a repository holds."""
        said = await self._said(repository, ["--no-lock", "stats", "--mode", "raw-data", "--json"])
        return int(orjson.loads(said)["total_size"])

    async def size_of(self, repository: Repository, snapshot: str) -> tuple[int, int]:
        """Return how many bytes a snapshot takes once it is restored, and how many files it has."""
        said = await self._said(repository, ["--no-lock", "stats", "--mode", "restore-size", "--json", snapshot])
        found = orjson.loads(said)
        return int(found["total_size"]), int(found["total_file_count"])

    async def _said(self, repository: Repository, words: Sequence[str]) -> bytes:
        lines: list[bytes] = []
        await self._process.run(repository, *words, line=lines.append)
        return b"\n".join(lines)

    async def _locked(self, repository: Repository, work: Callable[[], Awaitable[T]]) -> T:
        """Do what needs a lock: a stale one is taken away, somebody else's is waited for."""
        try:
            return await self._waited(repository, work)
        except ResticKilled:
            with contextlib.suppress(ResticFailed):
                await self.unlock(repository)  # it could not take back its own
            raise

    async def _waited(self, repository: Repository, work: Callable[[], Awaitable[T]]) -> T:
        end = self._ctx.clock.monotonic() + self._ctx.settings.lock_seconds
        while True:
            try:
                return await work()
            except RepositoryLocked:
                await self.unlock(repository)
            try:
                return await work()
            except RepositoryLocked:
                if self._ctx.clock.monotonic() >= end:
                    raise
            await self._ctx.clock.sleep(_LOCK_PAUSE)


async def _watch(pid: int, size: int, told: Callable[[int], None]) -> None:
    """Tell how much a run has written, for a restic that does not say so itself."""
    while True:
        await asyncio.sleep(0.5)
        try:
            text = await asyncio.to_thread(Path(f"/proc/{pid}/io").read_text)
        except OSError:
            return
        written = next((int(line.split()[1]) for line in text.splitlines() if line.startswith("wchar")), 0)
        told(min(written, size) if size else written)
