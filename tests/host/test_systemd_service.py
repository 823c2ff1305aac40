"""The systemd service: its unit is sound, and the command line in it serves."""

import getpass
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from components.environments import serving
from components.ports import free_port

from cloudos_host.cli import systemd_service
from cloudos_host.cli.systemd_service import Service
from cloudos_host.config import load
from cloudos_host.node import HostError

CLOUDOS = Path(sys.executable).with_name("cloudos")


def unit_of(*options):
    return subprocess.run(
        [CLOUDOS, "service", "install", "--print", "--user", getpass.getuser(), *map(str, options)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def values(unit, key):
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


@pytest.mark.parametrize("folder", ["data", "my data", "100%"])
def test_the_unit_is_sound_and_its_command_line_serves(tmp_path, folder):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze for the tests: apt-get install systemd")
    port = free_port()
    unit = unit_of("--port", port, "--data-dir", tmp_path / folder)
    (tmp_path / "cloudos.service").write_text(unit)
    verified = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "cloudos.service"], capture_output=True, text=True, timeout=60
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    [command] = values(unit, "ExecStart")
    command = shlex.split(command.replace("%%", "%").replace("$$", "$"))
    with serving(command) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert urllib.request.urlopen(f"{server.url}/api/health").status == 200
        assert (tmp_path / folder / "auth").is_dir()


def test_a_node_listens_on_loopback_unless_the_network_is_asked_for():
    assert "--host 127.0.0.1 --port 8080 --data-dir /var/lib/cloudos" in unit_of()
    assert "--host 0.0.0.0" in unit_of("--lan")
    assert values(unit_of(), "StateDirectory") == ["cloudos"]


def test_the_unit_holds_the_node_back():
    unit = unit_of()
    for key in ("NoNewPrivileges", "RestrictSUIDSGID", "ProtectKernelModules", "LockPersonality"):
        assert values(unit, key) == ["yes"]
    assert values(unit, "ProtectSystem") == ["strict"] and values(unit, "UMask") == ["0077"]


def test_install_writes_the_unit_and_uninstall_takes_it_away(tmp_path, monkeypatch):
    monkeypatch.setattr(systemd_service, "UNIT", tmp_path / "cloudos.service")
    monkeypatch.setattr(systemd_service, "_RUNNING", tmp_path / "no-systemd")
    monkeypatch.setattr(systemd_service.os, "geteuid", lambda: 0)
    service = Service(load(None, {}, {"data_dir": tmp_path / "data"}), None, getpass.getuser())
    assert systemd_service.status()[0] is False
    assert f"wrote {tmp_path / 'cloudos.service'}" in service.install()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    running, lines = systemd_service.status()
    assert not running and any(str(tmp_path / "data") in line for line in lines)
    systemd_service.uninstall()
    assert not (tmp_path / "cloudos.service").exists() and (tmp_path / "data").is_dir()
    assert "there is no" in systemd_service.uninstall()[0]


def test_only_root_installs(monkeypatch):
    monkeypatch.setattr(systemd_service.os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="by root"):
        systemd_service.uninstall()
