"""Apps as compose files, with CasaOS' `x-casaos`: https://github.com/IceWhaleTech/CasaOS-AppStore."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cloudos_apps.templates.foreign import (
    MEMORY_MB,
    Unfit,
    icon_of,
    is_secret,
    items,
    port,
    shown_text,
    slug,
    tagged,
    text_of,
    version_of,
    volume,
)
from cloudos_apps.templates.substitute import escape

_HARMLESS = frozenset(
    {
        *("container_name", "hostname", "labels", "x-casaos", "networks", "expose", "stdin_open", "tty", "logging"),
        *("stop_grace_period", "stop_signal", "cpu_shares", "init", "pull_policy", "platform"),
    }
)
_TOP = frozenset({"name", "version", "services", "volumes", "networks"})
_KNOWN = _HARMLESS | {
    *("image", "environment", "ports", "volumes", "command", "entrypoint", "depends_on", "restart", "privileged"),
    *("network_mode", "cap_add", "cap_drop", "devices", "user", "healthcheck", "mem_limit", "shm_size", "deploy"),
    "pids_limit",
}
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^{}]*))?\}|(?P<plain>[A-Za-z_]\w*))")
_OF_CASAOS = {"PUID": "1000", "PGID": "1000", "TZ": "UTC", "AppID": "app"}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_UNITS = {"": 1, "b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}
_DATA = "/DATA/AppData/"
_MOST_SERVICES = 50


def template(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return one compose document as a template, not yet checked. Raises Unfit, which says what does not fit."""
    services = document.get("services")
    if not isinstance(services, Mapping) or not services:
        raise Unfit("it has no services")
    if len(services) > _MOST_SERVICES:
        raise Unfit(f"it has more than {_MOST_SERVICES} services")
    about = document.get("x-casaos")
    about = about if isinstance(about, Mapping) else {}
    main = about.get("main")
    names = sorted(services, key=lambda name: name != main)
    _check_whole(document, services)
    config: dict[str, dict[str, Any]] = {}
    found = [_service(str(name), services[name], config) for name in names]
    ports = [entry for service in found for entry in service["ports"]]
    taken: set[str] = set()
    for service in found:
        for entry in service["ports"]:
            if entry["name"] in taken:
                entry["name"] = f"{service['name']}-{entry['name']}"
            taken.add(entry["name"])
    name = slug(document.get("name") or main or names[0])
    return {
        "name": f"{source}.{name}",
        "display_name": _in_english(about.get("title")) or name,
        "description": _in_english(about.get("description")) or _in_english(about.get("tagline")),
        "category": slug(about.get("category") or "other", "other"),
        "version": version_of(found[0]["image"]),
        "icon": icon_of(about.get("icon")),
        "services": found,
        "config": list(config.values()),
        "web_port": _web_port(ports, about.get("port_map")),
    }


def _check_whole(document: Mapping[str, Any], services: Mapping[Any, Any]) -> None:
    """Raise Unfit where the app reaches for what is not its own, or its services for each other by other names."""
    for key in document:
        if key not in _TOP and not str(key).startswith("x-"):
            raise Unfit(f"it uses {str(key)[:60]!r}, which cannot be represented")
    for key in ("volumes", "networks"):
        entries = document.get(key)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(entry, Mapping) and (entry.get("external") or entry.get("driver_opts")):
                raise Unfit(f"{key}.{str(name)[:60]} is not the app's own")
    for name, service in services.items():
        if not isinstance(service, Mapping):
            continue
        networks = service.get("networks")
        joined = networks.values() if isinstance(networks, Mapping) else ()
        other = service.get("container_name")
        others = [entry for key, entry in services.items() if key != name]
        if any(joined) or (other not in (None, name) and str(other) in str(others)):
            raise Unfit(f"the service {str(name)[:60]} is reached by another name than its own")


def _service(name: str, given: object, config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Unfit(f"the service {name[:60]} is no mapping")
    if unknown := sorted(str(key) for key in given if key not in _KNOWN):
        raise Unfit(f"the service {name[:60]} uses {unknown[0][:60]!r}, which cannot be represented")
    mode = given.get("network_mode")
    if mode not in (None, "bridge", "host"):
        raise Unfit(f"the service {name[:60]} has the network mode {str(mode)[:60]!r}")
    service: dict[str, Any] = {
        "name": name,
        "image": tagged(_fixed(given.get("image"), "image")),
        "environment": _environment(given.get("environment"), config),
        "ports": [_port(entry) for entry in items(given.get("ports"), "ports")],
        "volumes": [_volume(entry, name) for entry in items(given.get("volumes"), "volumes")],
        "depends_on": _names(given.get("depends_on")),
        "restart": text_of(given.get("restart"), "restart").partition(":")[0] or "unless-stopped",
        "privileged": given.get("privileged") is True,
        "network_mode": "host" if mode == "host" else None,
        "cap_add": [text_of(entry, "cap_add") for entry in items(given.get("cap_add"), "cap_add")],
        "cap_drop": [text_of(entry, "cap_drop") for entry in items(given.get("cap_drop"), "cap_drop")],
        "devices": [_fixed(entry, "devices") for entry in items(given.get("devices"), "devices")],
        "memory_mb": _memory(given),
    }
    for key in ("command", "entrypoint"):
        if given.get(key) is not None:
            service[key] = _words(given[key], key, config)
    if given.get("user") is not None:
        service["user"] = _fixed(given["user"], "user")
    if given.get("shm_size") is not None:
        service["shm_size_mb"] = max(1, _bytes(given["shm_size"]) // 2**20)
    if (processes := given.get("pids_limit", _limit(given, "pids"))) is not None:
        service["pids_limit"] = processes
    check = given.get("healthcheck")
    if isinstance(check, Mapping) and check.get("test") not in (None, ["NONE"]) and not check.get("disable"):
        service["healthcheck"] = _check(check, config)
    return service


def _filled(given: object, what: str, config: dict[str, dict[str, Any]] | None) -> str:
    """Return a text of ours: each variable is one of CasaOS', or a setting, or (without `config`) its default."""
    text, parts, end = text_of(given, what), [], 0
    for match in _VARIABLE.finditer(text):
        parts.append(escape(text[end : match.start()]) if config is not None else text[end : match.start()])
        end = match.end()
        name, default = match["braced"] or match["plain"], match["default"]
        if name is None:
            parts.append("$")
        elif name in _OF_CASAOS:
            parts.append("${app.name}" if name == "AppID" and config is not None else _OF_CASAOS[name])
        elif config is not None:
            field = config.setdefault(name, {"name": name, "required": default is None})
            if default and "default" not in field:
                field["default"] = default
            if is_secret(name):
                field |= {"type": "password", "secret": True}
            parts.append(f"${{config.{name}}}")
        elif default is not None:
            parts.append(default)
        else:
            raise Unfit(f"{what} needs the variable {name[:60]}")
    rest = text[end:]
    return "".join(parts) + (escape(rest) if config is not None else rest)


def _fixed(given: object, what: str) -> str:
    return _filled(given, what, None)


def _environment(given: object, config: dict[str, dict[str, Any]]) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = [(str(key), value) for key, value in given.items()]
    else:
        texts = [text_of(entry, "environment", 20_000) for entry in items(given, "environment")]
        pairs = [(text.partition("=")[0], text.partition("=")[2]) for text in texts]
    return {key: _filled(value, f"environment {key[:60]}", config) for key, value in pairs}


def _names(given: object) -> list[str]:
    """Return the services that another one needs, listed or with conditions."""
    listed = list(given) if isinstance(given, Mapping) else items(given, "depends_on")
    return [text_of(name, "depends_on") for name in listed]


def _port(given: object) -> dict[str, Any]:
    if isinstance(given, Mapping):
        published, target = given.get("published"), _fixed(given.get("target"), "a port")
        text = f"{_fixed(published, 'a port')}:{target}" if published not in (None, "") else target
        return port(f"{text}/{given.get('protocol', 'tcp')}")
    return port(_fixed(given, "a port"))


def _volume(given: object, service: str) -> dict[str, Any]:
    if isinstance(given, Mapping):
        kind = given.get("type", "volume")
        if kind not in ("bind", "volume"):
            raise Unfit(f"a volume is of the type {str(kind)[:60]!r}")
        source, path = _fixed(given.get("source"), "a volume") or None, _fixed(given.get("target"), "a volume")
        read_only = given.get("read_only") is True
    else:
        parts = _fixed(given, "a volume").split(":")
        if len(parts) > 3:
            raise Unfit(f"the volume {str(given)[:60]!r} cannot be represented")
        source, path = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
        read_only = len(parts) == 3 and "ro" in parts[2].split(",")
    if source is not None and source.startswith(("~", "../")):
        raise Unfit(f"the volume {source[:60]!r} cannot be represented")
    if source is not None and source.startswith(_DATA):
        source = source.removeprefix(_DATA)
    return volume(path, source, read_only, service)


def _words(given: object, what: str, config: dict[str, dict[str, Any]]) -> list[str]:
    if isinstance(given, str):
        try:
            given = shlex.split(given)
        except ValueError as error:
            raise Unfit(f"the {what} cannot be read: {error}") from None
    return [_filled(word, what, config) for word in items(given, what)]


def _check(given: Mapping[str, Any], config: dict[str, dict[str, Any]]) -> dict[str, Any]:
    test = given["test"]
    words = ["CMD-SHELL", _filled(test, "healthcheck", config)] if isinstance(test, str) else None
    check: dict[str, Any] = {"test": words or [_filled(w, "healthcheck", config) for w in items(test, "healthcheck")]}
    for key, ours in (("interval", "interval_s"), ("timeout", "timeout_s"), ("start_period", "start_period_s")):
        if given.get(key) is not None:
            check[ours] = _seconds(given[key])
    if given.get("retries") is not None:
        check["retries"] = given["retries"]
    return check


def _seconds(given: object) -> float:
    match = _DURATION.fullmatch(text_of(given, "a duration"))
    if match is None or not any(match.groups()):
        raise Unfit(f"the duration {str(given)[:60]!r} cannot be read")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _limit(given: Mapping[str, Any], name: str) -> Any:
    """Return one of the limits below `deploy`; None where there is none."""
    limits: Any = given.get("deploy")
    for key in ("resources", "limits", name):
        limits = limits.get(key) if isinstance(limits, Mapping) else None
    return limits


def _memory(given: Mapping[str, Any]) -> int:
    limit = given.get("mem_limit") or _limit(given, "memory")
    return MEMORY_MB if limit is None else max(6, _bytes(limit) // 2**20)


def _bytes(given: object) -> int:
    match = re.fullmatch(r"(\d{1,15})\s*([a-z]{0,2})", text_of(given, "a size").lower())
    if match is None or match[2] not in _UNITS:
        raise Unfit(f"the size {str(given)[:60]!r} cannot be read")
    return int(match[1]) * _UNITS[match[2]]


def _in_english(given: object) -> str:
    if isinstance(given, Mapping):
        given = next((given[key] for key in ("en_us", "en_US", "custom") if given.get(key)), "")
    return shown_text(given, "a text")


def _web_port(ports: Sequence[Mapping[str, Any]], port_map: object) -> str | None:
    tcp = [entry for entry in ports if entry["protocol"] == "tcp"]
    mapped = [entry for entry in tcp if str(entry["host"]) == str(port_map)]
    return str((mapped or tcp)[0]["name"]) if tcp else None
