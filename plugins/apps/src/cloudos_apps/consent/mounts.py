"""Whose folders lie within whose: a folder that an app can write must hold no other mount.

Who can write in a folder can put a link in the place of anything in it, and the engine follows links when it mounts,
also when it starts a container by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import orjson
from cloudos_sdk import Conflict
from sqlalchemy import select
from sqlmodel import Session

from cloudos_apps.consent.host_paths import HostPaths, trail, within
from cloudos_apps.models import App
from cloudos_apps.templates.model.template import Template

_TABLE = App.__table__


class RequestedMount(NamedTuple):
    """A path of the machine that an app has, a device's too.

    `trusted`: the app was allowed the whole machine, and so needs no tricks. `real` is where it led when it was looked
    at, `folders` are those that it led through: what is compared in a transaction reads no disk.
    """

    path: str
    writable: bool
    trusted: bool
    real: str
    folders: tuple[str, ...]


def mounts_of(template: Template, paths: HostPaths, lost: Collection[str] = ()) -> list[RequestedMount]:
    """Return the host paths of a template. Reads the disk. The paths in `lost` need new consent."""
    found = set()
    for service in template.services:
        mine = [(v.host_path, not v.read_only) for v in service.volumes if v.host_path is not None]
        trusted = service.privileged or any(
            writable and path not in lost and paths.grave(path, read_only=False) for path, writable in mine
        )
        mine += [(device.partition(":")[0], False) for device in service.devices]  # the engine follows links there too
        found |= {_mount(path, writable, trusted) for path, writable in mine}
    return sorted(found)


def _mount(path: str, writable: bool, trusted: bool) -> RequestedMount:
    real, folders = trail(path)
    return RequestedMount(path, writable, trusted, real, tuple(dict.fromkeys(folders)))


def astray(templates: Iterable[Template], paths: HostPaths) -> set[str]:
    """Return the paths of templates that lead through a folder which one of them can write. Reads the disk.

    For templates of which nobody compared the paths so far: where such a path leads now says nothing.
    """
    volumes = [v for template in templates for s in template.services for v in s.volumes if v.host_path is not None]
    found = {volume.host_path or "": trail(volume.host_path or "") for volume in volumes}
    writable = {volume.host_path or "" for volume in volumes if not volume.read_only}
    outer = {path for path in writable if found[path][0] == path and not paths.grave(path, read_only=False)}
    return {path for path, (_, folders) in found.items() if any(within(f, o) for f in folders for o in outer)}


def packed(mounts: Iterable[RequestedMount]) -> str:
    """Return mounts as they are stored."""
    return orjson.dumps([list(mount) for mount in sorted(set(mounts))]).decode()


def unpacked(text: str | None) -> list[RequestedMount]:
    """Return mounts that were stored."""
    return [
        RequestedMount(path, writable, trusted, real, tuple(folders))
        for path, writable, trusted, real, folders in orjson.loads(text or "[]")
    ]


def of_others(session: Session, app_id: str | None) -> list[tuple[str, RequestedMount]]:
    """Return the mounts of all apps but one, each with the app's name."""
    rows = session.execute(select(_TABLE.c.id, _TABLE.c.name, _TABLE.c.mounts).where(_TABLE.c.mounts != "[]"))
    return [(row.name, mount) for row in rows if row.id != app_id for mount in unpacked(row.mounts)]


def check_nesting(name: str, mine: Sequence[RequestedMount], others: Sequence[tuple[str, RequestedMount]]) -> None:
    """Refuse mounts that lie in a folder which an app can write, or hold another's. Raises Conflict."""
    if not mine:
        return
    own = [(name, mount) for mount in mine]
    for mount in mine:
        if ":" in mount.path:
            raise Conflict("path_not_usable", f"{mount.path} cannot be mounted: its name has a colon.", path=mount.path)
    for inner_name, inner, outer_name, outer in nested(own, others):
        raise Conflict(
            "paths_nested",
            f"{inner.path} of {inner_name} lies within {outer.path}, which {outer_name} can write, and so could turn"
            " elsewhere. Give both apps the same folder, or folders beside each other, or the outer one read-only.",
            path=inner.path,
            within=outer.path,
        )


def nested(
    mine: Sequence[tuple[str, RequestedMount]], others: Sequence[tuple[str, RequestedMount]]
) -> Iterable[tuple[str, RequestedMount, str, RequestedMount]]:
    """Yield each mount that is reached through a folder that an app can write, with that folder and their apps."""
    everything = [*mine, *others]
    writable = [(name, mount) for name, mount in everything if mount.writable and not mount.trusted]
    for inner_name, inner in everything:
        own = (inner_name, inner) in mine
        for outer_name, outer in writable:
            if not (own or (outer_name, outer) in mine):
                continue
            if any(within(folder, outer.real) for folder in inner.folders):
                yield inner_name, inner, outer_name, outer
