"""The node as a systemd service: its unit, hardened as far as its work allows."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudos_host.config import Config
from cloudos_host.node import HostError

NAME = "cloudos"
UNIT = Path("/etc/systemd/system") / f"{NAME}.service"
STATE = Path("/var/lib/cloudos")
_RUNNING = Path("/run/systemd/system")

_UNIT = """\
# Written by `cloudos service install`; `systemctl edit cloudos` changes it for good.
[Unit]
Description=Cloud OS node
Wants=network-online.target
After=network-online.target docker.service postgresql.service

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
KillMode=mixed
User={user}
UMask=0077
{groups}{folders}# its proxy listens on 80 and 443
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE{capabilities}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp={private_tmp}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
_ROOT_CAPABILITIES = " CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYS_ADMIN"


@dataclass(frozen=True)
class Service:
    """The service of one node."""

    config: Config
    config_file: Path | None
    user: str

    @property
    def command(self) -> list[str]:
        """Return the command line that serves the node."""
        host = self.config.host
        program = shutil.which("cloudos", path=str(Path(sys.executable).parent)) or "cloudos"
        command = [program, "serve", "--host", host.host, "--port", str(host.port), "--data-dir", str(host.data_dir)]
        return command + (["--config", str(self.config_file.absolute())] if self.config_file is not None else [])

    def unit(self) -> str:
        """Return the text of the unit."""
        folder, state = self.config.host.data_dir, self.config.host.data_dir == STATE
        folders = (
            "StateDirectory=cloudos\nStateDirectoryMode=0700\n" if state else f"ReadWritePaths={_quoted(folder)}\n"
        )
        homes = [Path(self.command[0]).resolve(), Path(sys.prefix).resolve(), folder]
        return _UNIT.format(
            command=" ".join(_quoted(part) for part in self.command),
            user=self.user,
            groups="SupplementaryGroups=docker\n" if _has_group("docker") and self.user != "root" else "",
            folders=folders,
            capabilities=_ROOT_CAPABILITIES if self.user == "root" else "",
            private_tmp="no" if any(path.is_relative_to("/tmp") for path in homes) else "yes",  # noqa: S108
            home="read-only" if any(_in_home(path) for path in homes) else "yes",
        )

    def install(self) -> list[str]:
        """Write the unit, and start the service where systemd runs; return what was done. Raises HostError."""
        _require_root()
        if _in_root_home(Path(self.command[0]).resolve()) and self.user != "root":
            raise HostError(
                f"{self.command[0]} lies in root's home, where the user {self.user!r} cannot read; "
                "install Cloud OS below /opt, or give --user root"
            )
        done = [] if _has_user(self.user) else [_add_user(self.user)]
        if self.config.host.data_dir != STATE:
            done.append(self._give_folder())
        UNIT.write_text(self.unit())
        UNIT.chmod(0o644)
        done.append(f"wrote {UNIT}")
        if not _RUNNING.is_dir():
            return [*done, "systemd does not run here; the service starts with the machine once it does"]
        _systemctl("daemon-reload")
        _systemctl("enable", NAME)
        _systemctl("restart", NAME)
        return [*done, f"{NAME} runs, and starts with the machine"]

    def _give_folder(self) -> str:
        folder = self.config.host.data_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        who = pwd.getpwnam(self.user)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, who.pw_uid, who.pw_gid, follow_symlinks=False)
        return f"{folder} belongs to {self.user}"


def uninstall() -> list[str]:
    """Stop the service and remove its unit; the data stays. Raises HostError."""
    _require_root()
    if not UNIT.exists():
        return [f"there is no {UNIT}"]
    running = _RUNNING.is_dir()
    if running:
        _systemctl("disable", "--now", NAME)
    UNIT.unlink()
    if running:
        _systemctl("daemon-reload")
    return [f"removed {UNIT}; the data stays"]


def status() -> tuple[bool, list[str]]:
    """Return whether the service runs, and how it stands."""
    if not UNIT.exists():
        return False, [f"not installed: there is no {UNIT}; `cloudos service install` writes it"]
    command = next((line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")), "")
    lines = [f"installed: {UNIT}", command.replace("ExecStart=", "serves by: ")]
    if not _RUNNING.is_dir():
        return False, [*lines, "systemd does not run here"]
    enabled, active = _asked("is-enabled"), _asked("is-active")
    return active == "active", [*lines, f"starts with the machine: {enabled}", f"now: {active}"]


def _asked(question: str) -> str:
    done = subprocess.run(["systemctl", question, NAME], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip() or "unknown"


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")


def _add_user(name: str) -> str:
    command: Sequence[str] = ["useradd", "--system", "--home-dir", str(STATE), "--no-create-home", name]
    try:
        done = subprocess.run([*command, "--shell", "/usr/sbin/nologin"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise HostError(f"the user {name!r} cannot be made: {error}") from None
    if done.returncode != 0:
        raise HostError(f"the user {name!r} cannot be made: {done.stderr.strip()}")
    return f"made the system user {name}"


def _require_root() -> None:
    if os.geteuid() != 0:
        raise HostError("a service is installed and removed by root; try it with sudo")


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _in_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in ("/home", "/root", "/run/user"))


def _in_root_home(path: Path) -> bool:
    return path.is_relative_to("/root")


def _quoted(part: object) -> str:
    """Return a word of a command line as systemd reads it (systemd.service(5), "Command lines")."""
    text = str(part).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(letter.isspace() or letter in "'\";\\" for letter in text) else text
