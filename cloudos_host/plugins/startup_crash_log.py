"""Records which plugin is being started, so that one in whose start the host crashed twice is disabled for a while."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cloudos_host.data.file_modes import write_private
from cloudos_host.plugins.discovery import DiscoveredPlugin

_DEATHS = 2
_FADES = timedelta(hours=1)  # after which it is tried once more: the machine may have been to blame


class StartupCrashLog:
    """The file `boot.json`: the plugin being started, crashes by plugin, and the plugins of the last complete boot.

    With `keep=False` nothing is written: the command line looks, and a host may be running. A file that cannot be read
    or written costs the memory of crashes, not the start.
    """

    def __init__(self, data_dir: Path, log: Any, now: datetime, *, keep: bool = True) -> None:
        self._keep = keep
        self._log = log
        self._path = data_dir / "boot.json"
        notes = self._read()
        self.deaths: dict[str, int] = {k: v for k, v in _table(notes, "deaths").items() if isinstance(v, int)}
        self.died_at: dict[str, str] = {k: str(v) for k, v in _table(notes, "died_at").items()}
        self.prefixes: dict[str, list[str]] = {
            k: [str(p) for p in v] for k, v in _table(notes, "prefixes").items() if isinstance(v, list)
        }
        self.versions: dict[str, str] = {k: str(v) for k, v in _table(notes, "versions").items()}
        """The plugins of the last boot that came to its end."""
        self._starting: str | None = None
        self._fade(now)
        died = notes.get("starting")
        if isinstance(died, str):
            self.deaths[died] = self.deaths.get(died, 0) + 1
            self.died_at[died] = now.isoformat()
            self._store()

    def prefixes_of(self, found: DiscoveredPlugin) -> tuple[str, ...]:
        """Return the prefixes of a plugin that is not imported: from its metadata, else from its last start."""
        return found.stated or tuple(self.prefixes.get(found.id, found.prefixes))

    def enter(self, plugin_id: str) -> None:
        """Note that the plugin's code runs now."""
        self._starting = plugin_id
        self._store()

    def leave(self) -> None:
        """Note that it came through."""
        self._starting = None
        self._store()

    def survived(self, plugin_id: str) -> None:
        """Forget the deaths of a plugin that is up, or that is to be tried again."""
        self.died_at.pop(plugin_id, None)
        if self.deaths.pop(plugin_id, None) is not None:
            self._store()

    def completed(self, versions: dict[str, str]) -> None:
        """Note that a boot came to its end, and with which plugins."""
        if versions != self.versions:
            self.versions = versions
            self._store()

    def suspicious(self, plugin_id: str) -> bool:
        """Return whether the host crashed twice while starting the plugin, most recently within the last hour."""
        return self.deaths.get(plugin_id, 0) >= _DEATHS

    def _fade(self, now: datetime) -> None:
        for plugin_id, deaths in self.deaths.items():
            since = now - _time(self.died_at.get(plugin_id))
            if deaths >= _DEATHS and not timedelta(0) <= since < _FADES:  # the clock may have been set back too
                self.deaths[plugin_id] = _DEATHS - 1

    def _read(self) -> dict[str, Any]:
        try:
            notes = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            notes = error
        if isinstance(notes, dict):
            return notes
        self._log.warning("boot.json cannot be read; earlier crashes are forgotten", file=str(self._path))
        return {}

    def _store(self) -> None:
        if not self._keep:
            return
        notes = {"starting": self._starting, "deaths": self.deaths, "died_at": self.died_at}
        text = json.dumps({**notes, "prefixes": self.prefixes, "versions": self.versions})
        try:
            write_private(self._path, text.encode())
        except OSError as error:
            self._log.warning("a crash in this start will not be remembered", file=str(self._path), reason=str(error))


def forget_crashes(data_dir: Path, plugin_id: str) -> bool:
    """Delete the crashes of a plugin, so that the next start tries it again; False if there are none."""
    path = data_dir / "boot.json"
    try:
        notes = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    if not isinstance(notes, dict):
        return False
    known = _table(notes, "deaths").pop(plugin_id, None) is not None
    _table(notes, "died_at").pop(plugin_id, None)
    if known:
        write_private(path, json.dumps(notes).encode())
    return known


def _table(notes: dict[str, Any], name: str) -> dict[str, Any]:
    found = notes.get(name)
    return found if isinstance(found, dict) else {}


def _time(text: str | None) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
