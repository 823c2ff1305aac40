"""Rights that an app requests beyond its own containers, each listed and allowed by itself."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cloudos_sdk import Conflict, Forbidden, Role, principal

from cloudos_apps.consent.host_paths import HostPaths, trail, within
from cloudos_apps.display_text import printable
from cloudos_apps.templates.model.template import Service, Template, Volume

Danger = Literal["docker_socket", "host_network", "privileged", "host_paths", "devices", "capabilities", "low_ports"]

BASE_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
"""What every container has: the engine's own default without NET_RAW, MKNOD and AUDIT_WRITE."""

FIRST_FREE_PORT = 1024
_TIME_ZONE, _TIME_ZONES = "/etc/localtime", "/usr/share/zoneinfo"


@dataclass(frozen=True, order=True)
class RequestedRight:
    """A right as it is shown, stored and allowed, e.g. `web:host_path:/srv/media:ro`, and the kind of danger it is."""

    text: str
    danger: Danger


class PathClaim(NamedTuple):
    """A folder in the apps' files that a template claims; a right if another app owns it.

    `path` is its real place; `there` says that something is there already.
    """

    right: RequestedRight
    path: str
    there: bool


def rights_of(template: Template, ports: Mapping[str, int | None], paths: HostPaths) -> set[RequestedRight]:
    """Return the rights to the machine that a template asks for, with the port of each port's name. Reads the disk."""
    return path_rights(template, paths) | other_rights(template, ports)


def path_rights(template: Template, paths: HostPaths) -> set[RequestedRight]:
    """Return the rights to paths of the machine that a template asks for. Reads the disk."""
    return {
        of_path(service.name, volume, volume.host_path, paths)
        for service in template.services
        for volume in service.volumes
        if volume.host_path is not None and not paths.free(volume.host_path)
    }


def claims(template: Template, paths: HostPaths) -> list[PathClaim]:
    """Return the names directly in the apps' files that a template asks for. Reads the disk."""
    return [
        PathClaim(
            of_path(service.name, volume, volume.host_path, paths),
            paths.named_in_files(volume.host_path),
            os.path.lexists(volume.host_path),
        )
        for service in template.services
        for volume in service.volumes
        if volume.host_path is not None and paths.free(volume.host_path)
    ]


def other_rights(template: Template, ports: Mapping[str, int | None]) -> set[RequestedRight]:
    """Return the rights of a template to all that is no path."""
    return {right for service in template.services for right in _of_service(service, ports)}


def _of_service(service: Service, ports: Mapping[str, int | None]) -> Iterator[RequestedRight]:
    name = service.name
    if service.privileged:
        yield RequestedRight(f"{name}:privileged", "privileged")
    if service.network_mode == "host":
        yield RequestedRight(f"{name}:host_network", "host_network")
    for device in service.devices:
        yield RequestedRight(f"{name}:device:{device}", "devices")
    for given in service.cap_add:
        if (capability := capability_name(given)) not in BASE_CAPABILITIES:
            yield RequestedRight(f"{name}:capability:{capability}", "capabilities")
    for port in service.ports:
        number = ports.get(port.name, port.host)
        if number is not None and number < FIRST_FREE_PORT:
            yield RequestedRight(f"{name}:port:{number}/{port.protocol}", "low_ports")


def of_path(service: str, volume: Volume, path: str, paths: HostPaths, *, links: bool = True) -> RequestedRight:
    """Return the right to a host path; a link's target is part of it.

    Not the time zone, which only the system's owner sets, else a new one keeps apps from starting. Without `links` it
    is the right as it was shown once: with the place only where that is grave.
    """
    mode = "ro" if volume.read_only else "rw"
    real, engine = trail(path)[0], paths.reaches_engine(path)
    part = links and not (volume.read_only and path == _TIME_ZONE and within(real, _TIME_ZONES))
    part = part or paths.grave(path, read_only=volume.read_only)
    shown = f"{path} -> {real}" if part and real != posixpath.normpath(path) else path
    kind, danger = ("docker_socket", "docker_socket") if engine else ("host_path", "host_paths")
    return RequestedRight(f"{service}:{kind}:{shown}:{mode}", danger)  # type: ignore[arg-type] # one of the two


def capabilities_of(service: Service) -> list[str]:
    """Return all Linux capabilities of a container: the default set, minus dropped, plus added ones."""
    dropped = {capability_name(given) for given in service.cap_drop}
    base = [] if "ALL" in dropped else [name for name in BASE_CAPABILITIES if name not in dropped]
    return list(dict.fromkeys([*base, *(capability_name(given) for given in service.cap_add)]))


def capability_name(given: str) -> str:
    """Return a capability as the engine calls it, e.g. `NET_ADMIN` for `cap_net_admin`."""
    return given.strip().upper().removeprefix("CAP_")


def check_consent(
    title: str, asked: Collection[RequestedRight], stored: Collection[str], allow: Collection[str]
) -> list[RequestedRight]:
    """Return the rights of `asked` that are allowed now, by the caller, beyond those in `stored`.

    Raises Forbidden: `template_not_allowed`, with what is not allowed yet, or that only an admin may allow it;
    `person_required` where a key, and not a person, allows it. Raises Conflict for one that cannot be shown as it is.
    """
    if odd := [right for right in asked if printable(right.text) != right.text]:
        text = printable(sorted(odd)[0].text)
        raise Conflict("right_not_shown", f"{title} asks for {text}, which holds characters that are not shown.")
    new = sorted(right for right in asked if right.text not in stored)
    missing = [right for right in new if right.text not in allow]
    dangers, texts = sorted({right.danger for right in new}), [right.text for right in new]
    if missing:
        names = ", ".join(right.text for right in missing)
        raise Forbidden(
            f"{title} asks for what reaches beyond its own containers and was not allowed yet: {names}. A person who"
            " may can allow it by naming each in `allow`.",
            code="template_not_allowed",
            dangers=sorted({right.danger for right in missing}),
            rights=[right.text for right in missing],
        )
    if not new:
        return []
    who = principal()
    if who.kind != "user":
        raise Forbidden(
            f"A key cannot allow {title} what reaches beyond its own containers. Sign in as a person and allow it.",
            code="person_required",
            dangers=dangers,
            rights=texts,
        )
    if who.role is not Role.ADMIN and dangers != ["low_ports"]:
        raise Forbidden("Only an admin may allow this.", code="template_not_allowed", dangers=dangers, rights=texts)
    return new


def texts_of(rights: Collection[RequestedRight]) -> list[str]:
    """Return rights as they are stored, in order."""
    return sorted(right.text for right in rights)
