"""The template model, validated as a whole, and its conversion into the containers of an app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from pydantic import Field, model_validator

from cloudos_apps.templates.model.config import ConfigField, Value, validate_config
from cloudos_apps.templates.model.services import Dump, HealthCheck, Name, Part, Port, Service, Volume
from cloudos_apps.templates.model.substitution import references, secret_in, substitute

__all__ = [
    "ConfigField",
    "Dump",
    "HealthCheck",
    "Port",
    "Service",
    "Template",
    "Value",
    "Volume",
    "render",
    "secret_files",
    "secret_path",
    "validate_config",
    "wanted_ports",
]


class Template(Part):
    """An app that can be installed. The first service is the main one; `web_port` names the port that serves HTTP."""

    name: Name
    display_name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)
    category: Name
    version: str = Field(min_length=1, max_length=128)
    icon: str = ""
    website: str | None = Field(default=None, pattern=r"^https?://", max_length=2000)
    services: tuple[Service, ...] = Field(min_length=1, max_length=50)
    config: tuple[ConfigField, ...] = Field(default=(), max_length=200)
    web_port: str | None = None
    hold: Literal["pause", "stop", "none"] = "pause"
    """How the app is held while a backup reads its volumes."""

    @property
    def main_service(self) -> Service:
        """The main service, which the others support."""
        return self.services[0]

    @property
    def pinned(self) -> bool:
        """Return whether every image has a version tag or digest."""
        return all(service.pinned for service in self.services)

    def ports(self) -> list[Port]:
        """Return the ports of all services."""
        return [port for service in self.services for port in service.ports]

    def start_order(self) -> list[str]:
        """Return the names of the services, each after those it depends on."""
        return list(TopologicalSorter({service.name: service.depends_on for service in self.services}).static_order())

    @model_validator(mode="after")
    def _whole(self) -> Template:
        for what, names in (
            ("service", [service.name for service in self.services]),
            ("config field", [field.name for field in self.config]),
            ("port", [port.name for port in self.ports()]),
            ("dump", [service.dump.file for service in self.services if service.dump is not None]),
        ):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"two {what}s are named {twice[0]}")
        self._check_dependencies()
        self._check_variables()
        if self.web_port is not None and not any(
            port.name == self.web_port and port.protocol == "tcp" for port in self.ports()
        ):
            raise ValueError(f"web_port {self.web_port} is no tcp port of a service")
        return self

    def _check_dependencies(self) -> None:
        names = {service.name for service in self.services}
        for service in self.services:
            if unknown := sorted(set(service.depends_on) - names):
                raise ValueError(f"service {service.name} depends on {unknown[0]}, which is not defined")
        try:
            self.start_order()
        except CycleError as error:
            raise ValueError(f"services depend on each other in a circle: {' -> '.join(error.args[1])}") from error

    def _check_variables(self) -> None:
        known = {"app.name"}
        known |= {f"config.{field.name}" for field in self.config}
        known |= {f"secret.{field.name}" for field in self.config if field.secret}
        known |= {f"port.{port.name}" for port in self.ports()}
        for service in self.services:
            for place, text in _texts(service):
                if unknown := [name for name in references(text) if name not in known]:
                    raise ValueError(f"service {service.name}, {place}: unknown variable ${{{unknown[0]}}}")


def wanted_ports(template: Template, config: Mapping[str, Value]) -> dict[str, int | None]:
    """Return the machine's port that each port asks for; None is any free one.

    A config field of type `port` that is named like a port lets the installer choose it.
    """
    chosen = {field.name: config.get(field.name) for field in template.config if field.type == "port"}
    wanted: dict[str, int | None] = {}
    for port in template.ports():
        choice = chosen.get(port.name)
        wanted[port.name] = choice if isinstance(choice, int) else port.host
    return wanted


def render(template: Template, app_name: str, config: Mapping[str, Value], ports: Mapping[str, int]) -> list[Service]:
    """Return the services of one app: variables replaced, `host` of each port set to its entry in `ports`.

    `config` is what `validate_config` returned, `ports` the machine's port for each port's name.
    """
    values: dict[str, str | None] = {"app.name": app_name}
    for field in template.config:
        values[f"config.{field.name}"] = values[f"secret.{field.name}"] = _text(config.get(field.name))
    for port in template.ports():
        values[f"port.{port.name}"] = _text(ports.get(port.name, port.host))
    return [_rendered(service, values, ports) for service in template.services]


def _rendered(service: Service, values: Mapping[str, str | None], ports: Mapping[str, int]) -> Service:
    check = service.healthcheck
    filled = {key: substitute(text, values) for key, text in service.environment.items()}
    filled |= {key: secret_path(name) for key, name in secret_files(service).items() if filled[key] is not None}
    return service.model_copy(
        update={
            "environment": {key: text for key, text in filled.items() if text is not None},
            "command": _all(service.command, values),
            "entrypoint": _all(service.entrypoint, values),
            "healthcheck": check and check.model_copy(update={"test": _all(check.test, values)}),
            "ports": tuple(port.model_copy(update={"host": ports.get(port.name, port.host)}) for port in service.ports),
        }
    )


def secret_files(service: Service) -> dict[str, str]:
    """Return the secrets that a service takes as files: `PASSWORD_FILE: ${secret.password}`, by variable."""
    found = {key: secret_in(text) for key, text in service.environment.items() if key.endswith("_FILE")}
    return {key: name for key, name in found.items() if name is not None}


def secret_path(name: str) -> str:
    """Return the path of a secret file in the container."""
    return f"/run/secrets/{name}"


def _all(texts: Sequence[str] | None, values: Mapping[str, str | None]) -> tuple[str, ...] | None:
    return None if texts is None else tuple(substitute(text, values) or "" for text in texts)


def _text(value: Value | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _texts(service: Service) -> Iterator[tuple[str, str]]:
    yield from ((f"environment {key}", text) for key, text in service.environment.items())
    yield from (("command", text) for text in service.command or ())
    yield from (("entrypoint", text) for text in service.entrypoint or ())
    if service.healthcheck is not None:
        yield from (("healthcheck", text) for text in service.healthcheck.test)
