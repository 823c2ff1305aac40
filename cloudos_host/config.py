"""Settings: one TOML file and the environment, checked by name.

`[host]` and `[plugins.<id>]` in the file; `CLOUDOS_HOST__<KEY>` and `CLOUDOS_<ID>__<KEY>` in the environment, which
win. A key that nobody has is an error that names it and the nearest one; a section of a plugin that is not installed
is only a warning, since leaving a plugin out must leave a host that serves.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

M = TypeVar("M", bound=BaseModel)


def default_data_dir() -> Path:
    """Return /var/lib/cloudos for root, else the user's own data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/cloudos")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "cloudos"


class HostSettings(BaseModel):
    """The section `[host]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes any free one")
    data_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=default_data_dir, description="Folder of everything the node keeps"
    )
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; SQLite in the data folder without it")
    database_readers: int = Field(default=3, ge=1, le=32, description="Threads that read the database")
    database_read_limit: float = Field(
        default=15.0, gt=0, description="Seconds that one read of the database may take for a request"
    )
    database_sync: Literal["full", "normal"] = Field(
        default="full", description="full: SQLite's commits are on the disk; normal: a power cut loses the last ones"
    )
    required: tuple[str, ...] = Field(default=("auth",), description="Plugins without which the host does not serve")
    disabled: tuple[str, ...] = Field(default=(), description="Installed plugins to leave out")
    start_limit: float = Field(default=15.0, gt=0, description="Seconds a plugin may take to start")
    retry_limit: float = Field(
        default=60.0, gt=0, description="Longest wait, in seconds, before a start is tried again"
    )
    stop_limit: float = Field(default=12.0, gt=0, description="Seconds for draining and stopping")
    max_body: int = Field(default=2 * 1024 * 1024, ge=1024, description="Largest request body, in bytes")
    streams_per_user: int = Field(
        default=100, ge=1, description="Event streams, followed logs and WebSockets that one user may have open"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged")
    log_format: Literal["console", "json"] = Field(default="console", description="How the log is written")
    debug: bool = Field(default=False, description="Name in the log what holds the event loop over 10 ms")
    event_days: int = Field(default=90, ge=1, description="Days that events, job runs and ended operations stay")
    fast_path: bool = Field(
        default=True, description="Serve HTTP in fewer steps than Quart and hypercorn; false serves by theirs, slower"
    )
    access_log: bool = Field(default=False, description="Log each request")
    trust_proxy: bool = Field(
        default=False, description="Believe X-Forwarded-For of a web server of your own on this machine"
    )


class ConfigError(Exception):
    """The settings are invalid; the message names the key and its file or variable."""


@dataclass(frozen=True)
class Config:
    """Everything that was configured; plugin sections are checked when their plugin is known."""

    host: HostSettings
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = "the defaults"


def env_name(plugin_id: str) -> str:
    """Return the plugin's part of the environment variables' names: `CONTROL_PANEL`."""
    return plugin_id.upper().replace("-", "_")


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Config:
    """Read the file and the environment; `overrides` are command-line options and win.

    Raises ConfigError.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"there is no configuration file {path}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
    unknown = set(document) - {"host", "plugins"}
    if unknown:
        name = min(unknown)
        raise ConfigError(f"{path}: unknown section [{name}]{nearest(name, ['host', 'plugins'])}")
    given = _table(document, "host", path), _table(document, "plugins", path)
    host = dict(given[0])
    sections = {id: dict(_table(given[1], id, path)) for id in given[1]}
    by_env = {env_name(id): id for id in sections}
    for variable, value in environ.items():
        if not variable.startswith("CLOUDOS_") or "__" not in variable:
            continue
        area, _, key = variable.removeprefix("CLOUDOS_").partition("__")
        if area == "HOST":
            host[key.lower()] = _parse(value)
        else:
            id = by_env.setdefault(area, area.lower())
            sections.setdefault(id, {})[key.lower()] = _parse(value)
    host.update({key: value for key, value in overrides.items() if value is not None})
    where = str(path) if path else "the environment"
    return Config(check(HostSettings, host, "[host]", where), sections, where)


def plugin_section(config: Config, plugin_id: str) -> dict[str, Any]:
    """Return the plugin's settings as given; `control-panel` may be written `control_panel` too."""
    merged: dict[str, Any] = {}
    for id, section in config.plugins.items():
        if env_name(id) == env_name(plugin_id):
            merged.update(section)
    return merged


def unknown_sections(config: Config, installed: Iterable[str]) -> list[str]:
    """Return a warning for each plugin that is named and not installed; it may have been left out on purpose."""
    known = {env_name(id): id for id in installed}
    sections = [
        f"[plugins.{id}] is ignored: no plugin {id!r} is installed{nearest(id, known.values())}"
        for id in config.plugins
        if env_name(id) not in known
    ]
    return sections + [
        f"host.disabled names {id!r}: no such plugin is installed{nearest(id, known.values())}"
        for id in config.host.disabled
        if id not in known.values()
    ]


def check(model: type[M], given: Mapping[str, Any], section: str, where: str) -> M:
    """Validate a section. Raises ConfigError that names the first key that is wrong."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where}: {section} has no key {key!r}{nearest(key, model.model_fields)}") from None
        raise ConfigError(f"{where}: {section} {key}: {first['msg']}") from None


def _table(parent: Mapping[str, Any], key: str, path: Path | None) -> Mapping[str, Any]:
    table = parent.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {key!r} is not a table; write it as a section")
    return table


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` if a name is similar, else an empty text."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _parse(value: str) -> Any:
    """Read lists and tables in JSON; everything else stays text, which the model converts."""
    if value[:1] in "[{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
