"""Host paths: resolved links, who could redirect them, and what can be reached through them."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

_MOST_LINKS = 40
_ENGINES = (  # sockets that take orders, and folders that hold such sockets or the engine's own files
    *("/run/docker.sock", "/run/docker", "/run/containerd", "/run/cri-dockerd.sock", "/run/k3s", "/run/crio"),
    *("/run/podman", "/run/buildkit", "/run/incus", "/run/user", "/var/snap/lxd", "/var/lib/lxd", "/var/lib/incus"),
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/proc"),
)
_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr"),
    *("/var/lib/dpkg", "/var/spool/cron"),
)


def trail(path: str) -> tuple[str, list[str]]:
    """Return a path's target with links resolved, and each folder in which one of its names is looked up.

    Who can write in one of those folders decides where the path leads. A circle of links is left after as many
    as the system follows too.
    """
    here, folders, links = "/", [], 0
    left = [name for name in reversed(path.split("/")) if name not in ("", ".")]
    while left:
        name = left.pop()
        if name == "..":
            here = posixpath.dirname(here)
            continue
        folders.append(here)
        step = posixpath.join(here, name)
        try:
            target = os.readlink(step)  # noqa: PTH115 - names, not places: a Path would tidy them
        except OSError:  # no link, or nothing there yet
            here = step
            continue
        links += 1
        if links > _MOST_LINKS:
            return step, folders
        here = "/" if target.startswith("/") else here
        left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return here, folders


def within(path: str, folder: str) -> bool:
    """Return whether a path is a folder or below it, by name."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class HostPaths:
    """Judges paths of one machine: `files` is the folder of which apps may have pieces without being asked."""

    def __init__(self, files: Path, engine_url: str, own_data: Path) -> None:
        self.files = str(files.resolve())
        self._named = {self.files, str(files.absolute())}
        self._own_data = str(own_data.resolve())
        socket = engine_url.removeprefix("unix://") if engine_url.startswith("unix://") else None
        self._socket = _real(socket) if socket else None
        self._engine_root: str | None = None

    def learn_root(self, root: Path) -> None:
        """Store the engine's data folder: access to it is access to the machine."""
        self._engine_root = _real(str(root))

    def free(self, path: str) -> bool:
        """Return whether an app may mount a path without consent.

        That is a name directly in `files` that is no link: no app can write in the folder that holds it, so none can
        put something else in its place. The engine's files and the node's own may lie there too: they are not free.
        """
        if posixpath.dirname(path) not in self._named:
            return False
        if within(self._own_data, _real(path)) or self.reaches_engine(path):
            return False
        try:
            kind = os.lstat(path).st_mode
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return stat.S_ISDIR(kind) or stat.S_ISREG(kind)

    def make(self, paths: Iterable[str]) -> None:
        """Make the folders of an app, accessible to its container users; the folders above are not."""
        for path in paths:
            if path.startswith("/") and self.free(path) and not Path(path).exists():
                Path(path).mkdir(parents=True)
                Path(path).chmod(0o755)

    def in_files(self, path: str) -> bool:
        """Return whether a path is below `files`, by name."""
        return any(within(path, folder) and path != folder for folder in self._named)

    def named_in_files(self, path: str) -> str:
        """Return a path in `files` as one below its real place, by name."""
        folder = next(folder for folder in sorted(self._named, key=len, reverse=True) if within(path, folder))
        return posixpath.join(self.files, posixpath.relpath(path, folder))

    def reaches_engine(self, path: str) -> bool:
        """Return whether a path gives access to a container engine's API, under whatever name."""
        real = _real(path)
        places = [*_ENGINES, *(place for place in (self._socket, self._engine_root) if place is not None)]
        for place in places:
            if within(place, real) or within(real, place):
                return True
        return self._is_engine_socket(real)

    def grave(self, path: str, *, read_only: bool) -> bool:
        """Return whether a path gives control of the machine: by an engine, system files or the node's own files."""
        if self.reaches_engine(path):
            return True
        real = _real(path)
        if within(real, self.files) and not within(self._own_data, real):
            return False
        own = within(self._own_data, real) or within(real, self._own_data)
        above = any(within(place, real) for place in _SYSTEM)
        return own or above or (not read_only and any(within(real, place) for place in _SYSTEM))

    def _is_engine_socket(self, real: str) -> bool:
        """Return whether a path is the engine's socket under another name, e.g. a hard link or a bind mount."""
        if self._socket is None:
            return False
        try:
            found = os.lstat(real)
            return stat.S_ISSOCK(found.st_mode) and os.path.samestat(found, os.lstat(self._socket))
        except OSError:
            return False


def _real(path: str) -> str:
    """Return a path's target; `/var/run` is `/run` even without a link."""
    real = trail(path)[0]
    return f"/run{real[8:]}" if within(real, "/var/run") else real
