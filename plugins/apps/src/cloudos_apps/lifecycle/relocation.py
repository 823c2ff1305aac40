"""Folders of before there was a rule: those that lie in another one that an app can write are moved out of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from cloudos_sdk import Context
from cloudos_sdk.events import AppStopped, AppUpdated
from sqlmodel import Session

from cloudos_apps.consent.host_paths import HostPaths
from cloudos_apps.consent.mounts import mounts_of, nested, packed, unpacked
from cloudos_apps.consent.programs import program_rights
from cloudos_apps.consent.rights import claims, rights_of, texts_of
from cloudos_apps.lifecycle.containers import Containers
from cloudos_apps.models import App
from cloudos_apps.store import BUSY, STEADY, AppStore, template_of
from cloudos_apps.templates.model.template import Template


class NotMovable(Exception):
    """A folder cannot be moved; the message says why."""


class Relocation:
    """Moves nested folders at the start, before any container is started by us.

    Interrupted at any step it begins again: the containers are held first, so that neither the engine nor an app
    touches the folder; then it is renamed, which happens or does not; then the rows say so.
    """

    def __init__(self, ctx: Context, store: AppStore, containers: Containers) -> None:
        self._ctx = ctx
        self._store = store
        self._containers = containers
        self._paths: HostPaths = containers.paths

    async def run(self) -> None:
        """Move app folders nested in another's, deepest first; hold an app whose folder cannot be moved."""
        apps = [app for app in await self._store.all() if app.mounts not in (None, "[]") and app.status != "failed"]
        everything = [(app.id, mount) for app in apps for mount in unpacked(app.mounts)]
        pairs = await asyncio.to_thread(lambda: list(nested(everything, [])))
        found = {inner.path: outer.path for _, inner, _, outer in pairs}
        for path, outer in sorted(found.items(), key=lambda pair: (-pair[0].count("/"), pair)):
            async with AsyncExitStack() as stack:
                for app in sorted(apps, key=lambda app: app.id):
                    if any(mount.path == path for mount in unpacked(app.mounts)):
                        await stack.enter_async_context(self._store.locks[app.id])
                await self._move(path, outer)

    async def _move(self, path: str, outer: str) -> None:
        apps = [a for a in await self._store.all() if any(mount.path == path for mount in unpacked(a.mounts))]
        if not apps or any(app.status in BUSY for app in apps):
            return  # done with another folder, or somebody works on it, who will find the rule in the way
        apps = [app for app in apps if app.status in STEADY]
        target, reason = flat(self._paths.files, path) if self._paths.in_files(path) else None, None
        states = [state for app in apps for state in await self._containers.engine.states(app.id)]
        if not states and target is None and all(app.intended == "stopped" for app in apps):
            return  # they are held already
        for state in states:
            await self._containers.engine.hold(state.id, self._ctx.settings.stop_seconds)
        try:
            if target is None:
                raise NotMovable("it was not made by Cloud OS")
            await asyncio.to_thread(move, self._paths.files, self._paths.named_in_files(path), target)
        except (NotMovable, OSError) as error:
            target, reason = None, f"{path} lies within {outer}, which an app can write, and is not moved: {error}."
        await self._ctx.db.write(lambda session: self._note(session, apps, path, target, reason))
        self._ctx.log.warning("a nested folder of an app", path=path, within=outer, moved_to=target, held=reason)

    def _note(self, session: Session, apps: Sequence[App], path: str, target: str | None, reason: str | None) -> None:
        """Let the rows name the new place, and new containers be made for it; or tell why the app is held."""
        self._store.changing(session)
        for app in apps:
            row: Any = session.get(App, app.id)
            if row is None:
                continue
            row.generation += 1
            row.status = "stopped"
            if target is None:
                row.intended = "stopped"
                row.error = f"{reason} Give the app another folder, or the outer one read-only."
                details = f"Held {row.name}: {reason}"
                self._ctx.events.emit(session, AppStopped(resource=row.id, details=details, name=row.name))
            else:
                template = with_path(template_of(row), path, target)
                stored = set(orjson.loads(row.rights or "[]"))
                machine = rights_of(template, orjson.loads(row.ports), self._paths)
                machine |= {claim.right for claim in claims(template, self._paths)}
                kept = {right for right in machine if right.text in stored}
                kept |= {r for r in program_rights(template, row.source or "", kept) if r.text in stored}
                row.template_json = template.model_dump_json()
                row.rights = orjson.dumps(texts_of(kept)).decode()
                row.mounts = packed(mounts_of(template, self._paths))
                details = f"Moved the folder {path} of {row.name} to {target}"
                self._ctx.events.emit(session, AppUpdated(resource=row.id, details=details, name=row.name))
            session.add(row)
        session.flush()


def flat(files: str, path: str) -> str:
    """Return the place of a nested folder directly in `files`, another one for each path."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", posixpath.basename(path)).strip("-.")[:60] or "folder"
    return posixpath.join(files, f"{name}-{hashlib.sha256(path.encode()).hexdigest()[:12]}")


def with_path(template: Template, path: str, target: str) -> Template:
    """Return a template with one path of the machine in place of another."""
    services = tuple(
        service.model_copy(
            update={
                "volumes": tuple(
                    volume.model_copy(update={"host_path": target}) if volume.host_path == path else volume
                    for volume in service.volumes
                )
            }
        )
        for service in template.services
    )
    return template.model_copy(update={"services": services})


def move(files: str, path: str, target: str) -> None:
    """Rename a folder or file below `files` to one directly in it, following no link. Raises NotMovable, OSError.

    Where the target is there already it was moved before, and what has the old name since is somebody else's.
    """
    *folders, name = posixpath.relpath(path, files).split("/")
    into = os.open(files, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            kind = os.stat(posixpath.basename(target), dir_fd=into, follow_symlinks=False).st_mode
        except FileNotFoundError:
            pass
        else:
            if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                raise NotMovable(f"{target} is a link")
            return
        try:
            source = _folder(into, folders)
            try:
                kind = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
                if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                    raise NotMovable("it is a link now")
                os.rename(name, posixpath.basename(target), src_dir_fd=source, dst_dir_fd=into)
            finally:
                os.close(source)
        except FileNotFoundError:
            os.mkdir(posixpath.basename(target), 0o755, dir_fd=into)
        except NotADirectoryError:
            raise NotMovable("a folder above it is a link now") from None
    finally:
        os.close(into)


def _folder(into: int, names: Sequence[str]) -> int:
    """Open a folder below another one, following no link. The caller closes it."""
    here = os.dup(into)
    for name in names:
        try:
            deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    return here
