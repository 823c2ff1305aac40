"""Apps as compose files, with CasaOS' `x-casaos`: https://github.com/compose-spec/compose-spec.

CasaOS: https://github.com/IceWhaleTech/CasaOS-AppStore.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cloudos_apps.templates.formats.common import (
    UnsupportedTemplate,
    icon_of,
    items,
    shown_text,
    slug,
    tagged,
    text_of,
    version_of,
)
from cloudos_apps.templates.formats.compose_parts import health_check, known, limits, mapping, mount, other_names, ports
from cloudos_apps.templates.formats.interpolation import TemplateSettings, fixed
from cloudos_apps.templates.formats.quantities import size

_HARMLESS = frozenset(
    {
        *("container_name", "hostname", "labels", "annotations", "networks", "expose", "stdin_open", "tty", "logging"),
        *("stop_grace_period", "stop_signal", "cpu_shares", "init", "pull_policy", "platform"),
    }
)
_TOP = frozenset({"name", "version", "services", "volumes", "networks"})
_KNOWN = _HARMLESS | {
    *("image", "environment", "ports", "volumes", "command", "entrypoint", "depends_on", "restart", "privileged"),
    *("network_mode", "cap_add", "cap_drop", "devices", "user", "healthcheck", "mem_limit", "mem_reservation", "cpus"),
    *("shm_size", "deploy", "pids_limit", "scale"),
}
_FILLED = ("environment", "command", "entrypoint", "healthcheck")
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_COMPLETED = "service_completed_successfully"
_MOST_SERVICES = 50


def template(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return one compose document as an unchecked template. Raises UnsupportedTemplate."""
    services = document.get("services")
    if not isinstance(services, Mapping) or not services:
        raise UnsupportedTemplate("it has no services")
    if len(services) > _MOST_SERVICES:
        raise UnsupportedTemplate(f"it has more than {_MOST_SERVICES} services")
    about = mapping(document.get("x-casaos") if isinstance(document.get("x-casaos"), Mapping) else None, "x-casaos")
    main = about.get("main")
    names = sorted(services, key=lambda name: name != main)
    _check_whole(document)
    settings = TemplateSettings()
    for service in services.values():
        settings.scan([service.get(key) for key in _FILLED] if isinstance(service, Mapping) else None)
    found = [_told(str(name), services[name], settings, services) for name in names]
    _name_ports(found)
    _end_once(found, services)
    _check_names(found)
    name = slug(document.get("name") or main or names[0])
    return {
        "name": f"{source}.{name}",
        "display_name": _in_english(about.get("title")) or name,
        "description": _in_english(about.get("description")) or _in_english(about.get("tagline")),
        "category": slug(about.get("category") or "other", "other"),
        "version": version_of(found[0]["image"]),
        "icon": icon_of(about.get("icon")),
        "services": found,
        "config": list(settings.fields.values()),
        "web_port": _web_port([entry for service in found for entry in service["ports"]], about.get("port_map")),
    }


def _check_whole(document: Mapping[str, Any]) -> None:
    """Raise UnsupportedTemplate if the app uses networks, volumes or services of others."""
    for key, value in document.items():
        if key not in _TOP and not key.startswith("x-") and value not in (None, {}, []):
            raise UnsupportedTemplate(f"it uses {key[:60]!r}, which cannot be represented; take it out of the file")
    for key in ("volumes", "networks"):
        for name, entry in mapping(document.get(key), key).items():
            given = mapping(entry, f"{key}.{name[:60]}")
            local = given.get("driver") in (None, "local", "bridge", "default")
            if given.get("external") or given.get("driver_opts") or not local:
                raise UnsupportedTemplate(
                    f"{key}.{name[:60]} is not the app's own; take `external`, `driver` and `driver_opts` out"
                )


def _told(name: str, given: object, settings: TemplateSettings, services: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _service(name, given, settings, services)
    except UnsupportedTemplate as error:
        raise UnsupportedTemplate(f"the service {name[:60]}: {error}") from None


def _service(name: str, given: object, settings: TemplateSettings, services: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UnsupportedTemplate("it is no mapping")
    known(given, _KNOWN, "it ")
    mode = given.get("network_mode")
    if mode not in (None, "bridge", "host", "default"):
        raise UnsupportedTemplate(f"it has the network mode {str(mode)[:60]!r}; bridge and host can be represented")
    if given.get("image") is None:
        raise UnsupportedTemplate("it has no image; an image that is built elsewhere can be named")
    service: dict[str, Any] = {
        "name": name,
        "image": tagged(fixed(given.get("image"), "image")),
        "environment": _environment(given.get("environment"), settings),
        "ports": ports(given.get("ports")),
        "volumes": [mount(entry, name) for entry in items(given.get("volumes"), "volumes")],
        "depends_on": [needed for needed, _ in _needs(given.get("depends_on"), services)],
        "aliases": other_names(given, name),
        "privileged": given.get("privileged") is True,
        "network_mode": "host" if mode == "host" else None,
        "cap_add": [text_of(entry, "cap_add") for entry in items(given.get("cap_add"), "cap_add")],
        "cap_drop": [text_of(entry, "cap_drop") for entry in items(given.get("cap_drop"), "cap_drop")],
        "devices": [fixed(entry, "devices") for entry in items(given.get("devices"), "devices")],
        **limits(given),
    }
    for key in ("command", "entrypoint"):
        if given.get(key) is not None:
            service[key] = _words(given[key], key, settings)
    if given.get("user") is not None:
        service["user"] = fixed(given["user"], "user")
    if given.get("shm_size") is not None:
        service["shm_size_mb"] = max(1, size(fixed(given["shm_size"], "shm_size"), "shm_size") // 2**20)
    check = health_check(given.get("healthcheck"), settings)
    return service if check is None else {**service, "healthcheck": check}


def _environment(given: object, settings: TemplateSettings) -> dict[str, str]:
    pairs: list[tuple[str, object]] = []
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        for text in (text_of(entry, "environment") for entry in items(given, "environment")):
            key, equals, value = text.partition("=")
            pairs.append((key, value if equals else None))
    return {
        key: settings.passed(key) if value is None else settings.filled(value, f"environment {key[:60]}")
        for key, value in pairs
    }


def _needs(given: object, services: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the services that another one needs, with the condition of each. Raises Unfit."""
    if not isinstance(given, Mapping):
        return [(text_of(name, "depends_on"), _CONDITIONS[0]) for name in items(given, "depends_on")]
    found = []
    for name, entry in given.items():
        entry = mapping(entry, f"depends_on.{name[:60]}")
        known(entry, ("condition", "restart", "required"), f"depends_on.{name[:60]} ")
        condition = entry.get("condition", _CONDITIONS[0])
        if condition not in _CONDITIONS:
            raise UnsupportedTemplate(
                f"depends_on.{name[:60]} has the condition {str(condition)[:60]!r}; {_CONDITIONS} are known"
            )
        if name in services or entry.get("required") is not False:
            found.append((name, str(condition)))
    return found


def _end_once(found: Sequence[dict[str, Any]], services: Mapping[str, Any]) -> None:
    """Have those services end that another one waits for the end of."""
    needed = [need for given in services.values() for need in _needs(given.get("depends_on"), services)]
    once = {name for name, condition in needed if condition == _COMPLETED}
    for service in found:
        if service["name"] in once:
            again = service.get("restart") == "on-failure"
            service |= {"one_shot": True, "restart": "on-failure" if again else "no"}


def _name_ports(found: Sequence[Mapping[str, Any]]) -> None:
    taken: set[str] = set()
    for service in found:
        for entry in service["ports"]:
            if entry["name"] in taken:
                entry["name"] = f"{service['name']}-{entry['name']}"
            taken.add(entry["name"])


def _check_names(found: Sequence[Mapping[str, Any]]) -> None:
    """Raise UnsupportedTemplate if two services share a network name."""
    owners = {service["name"]: service["name"] for service in found}
    for service in found:
        for alias in service["aliases"]:
            if owners.setdefault(alias, service["name"]) != service["name"]:
                raise UnsupportedTemplate(
                    f"the services {service['name']} and {owners[alias]} are both reached as {alias}; name one"
                )


def _words(given: object, what: str, settings: TemplateSettings) -> list[str]:
    if isinstance(given, str):
        try:
            given = shlex.split(given)
        except ValueError as error:
            raise UnsupportedTemplate(f"the {what} cannot be read: {error}") from None
    return [settings.filled(word, what) for word in items(given, what)]


def _in_english(given: object) -> str:
    if isinstance(given, Mapping):
        given = next((given[key] for key in ("en_us", "en_US", "custom") if given.get(key)), "")
    return shown_text(given, "a text")


def _web_port(ports: Sequence[Mapping[str, Any]], port_map: object) -> str | None:
    tcp = [entry for entry in ports if entry["protocol"] == "tcp"]
    mapped = [entry for entry in tcp if str(entry["host"]) == str(port_map)]
    return str((mapped or tcp)[0]["name"]) if tcp else None
