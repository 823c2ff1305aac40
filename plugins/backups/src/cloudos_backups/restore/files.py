"""Single files put back into the folders of an app, following no link: an app may have put one anywhere in its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloudos_sdk import Conflict, Context, InvalidRequest
from cloudos_sdk.capabilities import AppData

from cloudos_backups.restic.client import Restic
from cloudos_backups.restic.repository import Repository
from cloudos_backups.restore.moves import remove
from cloudos_backups.restore.paths import find
from cloudos_backups.snapshots.manifest import FolderOf, Part


class FileRestore:
    """Restores single files and folders of an app while it goes on."""

    def __init__(self, ctx: Context, restic: Restic) -> None:
        self._ctx = ctx
        self._restic = restic

    async def run(self, repository: Repository, part: Part, shown: Sequence[str], mark: str) -> list[str]:
        """Put files in place; return by which names what was there before is kept."""
        contents = await self._ctx.use(AppData).contents(part.id)
        if contents is None:
            raise Conflict("app_gone", f"The app {part.name} is not installed; restore it as a whole.")
        there = {folder.name: folder.path for folder in contents.folders}
        kept = []
        for path in shown:
            folder, inside = split(part, path)
            if not there.get(folder.name):
                raise Conflict("folder_unknown", f"{part.name} has no {folder.name} now; restore it as a whole.")
            root = Path(there[folder.name])
            into = root.parent / f".cloudos-{mark}.part"
            await asyncio.to_thread(remove, str(into))
            await asyncio.to_thread(into.mkdir, 0o700)
            try:
                source = posixpath.join(folder.path, inside)
                await self._restic.restore(repository, part.snapshot or "", str(into), [source])
                found = await asyncio.to_thread(put_in_place, into, into / source.lstrip("/"), root, inside, mark)
            finally:
                await asyncio.to_thread(remove, str(into))
            if found is not None:
                kept.append(posixpath.join(posixpath.dirname(path), found))
        return kept


def split(part: Part, shown: str) -> tuple[FolderOf, str]:
    """Return the folder of an app in which a path is, and the path in it. Raises InvalidRequest, NotFound."""
    place = find([part], shown)
    for folder in part.folders:
        if place.path is not None and place.path.startswith(folder.path + "/"):
            return folder, place.path[len(folder.path) + 1 :]
    raise InvalidRequest.field("paths", f"{shown} is no file in a volume of {part.name}")


def put_in_place(fetched: Path, source: Path, root: Path, inside: str, mark: str) -> str | None:
    """Rename what was fetched to its place below `root`; return the name by which what was there is kept, if anything.

    Raises InvalidRequest where a link leads out of the way, and where it is not in the backup.
    """
    if not os.path.lexists(source):
        raise InvalidRequest.field("paths", f"{inside} is not in this backup")
    *folders, name = inside.split("/")
    above = source.parents[len(folders) - 1] if folders else source.parent
    with _opened(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)) as here:
        handle, handles = here, []
        try:
            for number, folder in enumerate(folders):
                like = Path(above, *folders[1 : number + 1]) if number else above
                handle = _enter(handle, folder, like, inside)
                handles.append(handle)
            kept: str | None = None
            with contextlib.suppress(FileNotFoundError):
                os.stat(name, dir_fd=handle, follow_symlinks=False)
                kept = f"{name}.before-{mark[-6:]}"
                os.rename(name, kept, src_dir_fd=handle, dst_dir_fd=handle)
            os.rename(source, name, dst_dir_fd=handle)
            return kept
        finally:
            for opened in handles:
                os.close(opened)


def _enter(handle: int, folder: str, like: Path, inside: str) -> int:
    """Open a folder in another one, made where it is not there; never through a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(folder, flags, dir_fd=handle)
    except FileNotFoundError:
        about = like.lstat()
        os.mkdir(folder, 0o700, dir_fd=handle)
        made = os.open(folder, flags, dir_fd=handle)
        os.fchown(made, about.st_uid, about.st_gid)
        os.fchmod(made, stat.S_IMODE(about.st_mode))
        return made
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Conflict(
                "path_leads_out",
                f"{folder} in {inside} is a link or a file now, and a restore follows none; download the file instead.",
            ) from None
        raise


@contextlib.contextmanager
def _opened(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)
