"""Parts of a compose service: ports, volumes, health checks, `deploy` and network aliases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Any

from cloudos_apps.templates.formats.common import UnsupportedTemplate, items, port, text_of, volume
from cloudos_apps.templates.formats.interpolation import TemplateSettings, fixed
from cloudos_apps.templates.formats.quantities import seconds, size

_PORT = re.compile(
    r"(?:(?:(?P<address>\[[0-9A-Fa-f:.]+\]|[\d.]+):)?(?:(?P<host>\d{1,5})(?:-(?P<host_end>\d{1,5}))?)?:)?"
    r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>\w+))?"
)
_MOST_PORTS = 100
_DATA = "/DATA/AppData/"
_MODES = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"}
_TIMES = (("interval", "interval_s"), ("timeout", "timeout_s"), ("start_period", "start_period_s"))
_CHECK = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_RESTARTS = {"none": "no", "on-failure": "on-failure", "any": "always"}


def known(given: Mapping[str, Any], names: Collection[str], what: str) -> None:
    """Raise Unfit for a member that is none of these, and no extension (`x-…`)."""
    if unknown := sorted(str(key) for key in given if key not in names and not str(key).startswith("x-")):
        raise UnsupportedTemplate(
            f"{what}uses {unknown[0][:60]!r}, which cannot be represented; take it out of the file"
        )


def mapping(given: object, what: str) -> Mapping[str, Any]:
    """Return a mapping, empty for null. Raises UnsupportedTemplate."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UnsupportedTemplate(f"{what} is no mapping")
    return given


def ports(given: object) -> list[dict[str, Any]]:
    """Return the ports of a service, those of a range one by one. Raises Unfit."""
    return [found for entry in items(given, "ports") for found in _ports(entry)]


def _ports(given: object) -> list[dict[str, Any]]:
    if isinstance(given, Mapping):
        known(given, ("name", "mode", "target", "published", "protocol", "host_ip", "app_protocol"), "a port ")
        published, address = fixed(given.get("published"), "a port"), fixed(given.get("host_ip"), "a port")
        address = f"[{address}]" if ":" in address else address
        front = ":".join(part for part in (address, published) if part)
        text = f"{front}:{fixed(given.get('target'), 'a port')}" if published else fixed(given.get("target"), "a port")
        text += f"/{fixed(given.get('protocol'), 'a port') or 'tcp'}"
    else:
        text = fixed(given, "a port").strip()
    match = _PORT.fullmatch(text)
    protocol = (match["protocol"] or "tcp").lower() if match else ""
    if match is None or protocol not in ("tcp", "udp"):
        raise UnsupportedTemplate(f"the port {text[:60]!r} cannot be represented; write it as 8080:80, over tcp or udp")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    many = last - first + 1
    host = int(match["host"]) if match["host"] else None
    if not 1 <= many <= _MOST_PORTS:
        raise UnsupportedTemplate(f"the port {text[:60]!r} is a range of {many}; 1 to {_MOST_PORTS} may be one")
    if host is not None and int(match["host_end"] or host) - host + 1 != many:
        raise UnsupportedTemplate(f"the port {text[:60]!r} has ranges of different lengths; give as many on both sides")
    bound = _address(match["address"], text)
    found = []
    for at in range(many):
        entry = port(f"{host + at}:{first + at}/{protocol}" if host is not None else f"{first + at}/{protocol}")
        found.append({**entry, "address": bound} if bound else entry)
    return found


def _address(given: str | None, text: str) -> str | None:
    """Return the host address that a port is bound to; None for the node's default."""
    if given is None:
        return None
    try:
        address = ip_address(given.strip("[]"))
    except ValueError:
        raise UnsupportedTemplate(f"the port {text[:60]!r} has no address before it") from None
    if address.is_unspecified:
        return None
    if not address.is_loopback:
        raise UnsupportedTemplate(
            f"the port {text[:60]!r} is bound to an address of another machine; leave the address out"
        )
    return str(address)


def mount(given: object, service: str) -> dict[str, Any]:
    """Return a volume of a service. Raises Unfit."""
    if isinstance(given, Mapping):
        kind = given.get("type", "volume")
        if kind not in ("bind", "volume"):
            raise UnsupportedTemplate(
                f"a volume is of the type {str(kind)[:60]!r}, and only bind and volume can be represented"
            )
        known(given, ("type", "source", "target", "read_only", "consistency", "bind", "volume"), "a volume ")
        known(mapping(given.get("bind"), "bind"), ("create_host_path", "selinux"), "a volume's bind ")
        known(mapping(given.get("volume"), "volume"), ("nocopy",), "a volume ")
        source, path = fixed(given.get("source"), "a volume") or None, fixed(given.get("target"), "a volume")
        read_only = given.get("read_only") is True
    else:
        parts = fixed(given, "a volume").split(":")
        modes = parts[2].split(",") if len(parts) == 3 else []
        if len(parts) > 3 or not set(modes) <= _MODES:
            raise UnsupportedTemplate(
                f"the volume {str(given)[:60]!r} cannot be represented; write it as source:path or with :ro"
            )
        source, path = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
        read_only = "ro" in modes
    if source is not None and source.startswith(("~", "../")):
        raise UnsupportedTemplate(
            f"the volume {source[:60]!r} is outside of the app's folder; name it or give its whole path"
        )
    if source is not None and source.startswith(_DATA):
        source = source.removeprefix(_DATA)
    return volume(path, source, read_only, service)


def health_check(given: object, settings: TemplateSettings) -> dict[str, Any] | None:
    """Return a health check; None is the image's own. Raises Unfit."""
    check = mapping(given, "healthcheck")
    if not check:
        return None
    known(check, _CHECK, "the healthcheck ")
    test = check.get("test")
    if check.get("disable") is True or test == ["NONE"]:
        return {"test": ["NONE"]}
    if isinstance(test, str):
        words = ["CMD-SHELL", settings.filled(test, "healthcheck")]
    else:
        words = [settings.filled(word, "healthcheck") for word in items(test, "healthcheck")]
    found: dict[str, Any] = {"test": words}
    for key, ours in _TIMES:
        if check.get(key) is not None and (time := seconds(fixed(check[key], key), f"the {key} of the healthcheck")):
            found[ours] = time
    if check.get("retries") is not None:
        found["retries"] = fixed(check["retries"], "retries")
    return found


def limits(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's limits of memory, CPUs and processes, and its restart policy. Raises UnsupportedTemplate."""
    deploy = mapping(given.get("deploy"), "deploy")
    passed_over = ("labels", "placement", "update_config", "rollback_config", "endpoint_mode")
    known(deploy, ("resources", "replicas", "mode", "restart_policy", *passed_over), "deploy ")
    resources = mapping(deploy.get("resources"), "deploy.resources")
    known(resources, ("limits", "reservations"), "deploy.resources ")
    limit = mapping(resources.get("limits"), "deploy.resources.limits")
    known(limit, ("cpus", "memory", "pids"), "deploy.resources.limits ")
    reserved = mapping(resources.get("reservations"), "deploy.resources.reservations")
    if reserved.get("devices"):
        raise UnsupportedTemplate(
            "deploy.resources.reservations asks for devices (a GPU), which cannot be given;"
            " take it out of the file to run without"
        )
    known(reserved, ("cpus", "memory", "devices"), "deploy.resources.reservations ")
    for key, many in (("scale", given.get("scale")), ("deploy.replicas", deploy.get("replicas"))):
        if many is not None and fixed(many, key) != "1":
            raise UnsupportedTemplate(f"{key} asks for {str(many)[:20]} containers, and a service has one; set it to 1")
    if deploy.get("mode", "replicated") not in ("replicated", "global"):
        raise UnsupportedTemplate(
            f"deploy.mode is {str(deploy['mode'])[:40]!r}; replicated and global can be represented"
        )
    found: dict[str, Any] = {}
    for ours, mine, theirs in (
        ("memory_mb", given.get("mem_limit"), limit.get("memory")),
        ("memory_reservation_mb", given.get("mem_reservation"), reserved.get("memory")),
    ):
        told = mine if mine is not None else theirs
        if told is not None and (memory := size(fixed(told, "the memory"), "the memory")):
            found[ours] = memory // 2**20
    cpus = given["cpus"] if given.get("cpus") is not None else limit.get("cpus")
    if cpus is not None and fixed(cpus, "cpus") not in ("0", "0.0"):
        found["cpus"] = fixed(cpus, "cpus")
    processes = given["pids_limit"] if given.get("pids_limit") is not None else limit.get("pids")
    if processes is not None:
        found["pids_limit"] = fixed(processes, "pids_limit")
    return found | _restart(given, mapping(deploy.get("restart_policy"), "deploy.restart_policy"))


def _restart(given: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    known(policy, ("condition", "max_attempts", "delay", "window"), "deploy.restart_policy ")
    text = fixed(given.get("restart"), "restart")
    name, _, most = text.partition(":")
    if not text and policy:
        condition = fixed(policy.get("condition"), "restart_policy") or "any"
        name, most = _RESTARTS.get(condition, condition), fixed(policy.get("max_attempts"), "max_attempts")
        most = most if name == "on-failure" else ""
    if not name:
        return {}
    return {"restart": name, **({"restart_retries": most} if most else {})}


def other_names(given: Mapping[str, Any], name: str) -> list[str]:
    """Return the names other than its own that the services of an app reach a service by. Raises Unfit."""
    found = [fixed(given[key], key) for key in ("container_name", "hostname") if given.get(key) is not None]
    networks = given.get("networks")
    for network, entry in networks.items() if isinstance(networks, Mapping) else ():
        entry = mapping(entry, f"the network {network[:60]}")
        known(entry, ("aliases", "priority", "gw_priority"), f"the network {network[:60]} ")
        found += [text_of(alias, "an alias") for alias in items(entry.get("aliases"), "aliases")]
    for alias in found:
        if not _ALIAS.fullmatch(alias):
            raise UnsupportedTemplate(
                f"the name {alias[:60]!r} is none that a network can know; choose one of letters and digits"
            )
    return [alias for alias in dict.fromkeys(found) if alias != name]
