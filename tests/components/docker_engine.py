"""A Docker Engine of the tests' own, and a registry with images made on the spot. Nothing is fetched from anywhere.

Both are started once for a test run, in a folder of their own, on loopback, and ended by process id. Needs root and
Debian's docker.io, iptables, busybox-static and docker-registry.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .ports import free_port

_NEEDED = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "busybox": "busybox-static",
    "docker-registry": "docker-registry",
}
_LAYER = 3_000_000
_DOCKERFILE = """FROM cloudos-busybox:1
ENV PATH=/bin
LABEL image={name}
ADD noise /noise
ADD run /run.sh
CMD ["/bin/sh", "/run.sh"]
"""

# As process 1 a shell ends at SIGTERM only where it says so.
WEB = """mkdir -p /www /data
echo "hello from ${GREETING:-web}" >/www/index.html
echo serving
trap 'exit 0' TERM
httpd -f -p 8000 -h /www &
wait"""
IMAGES = {
    "web:1.0": WEB,
    "web:2.0": WEB,
    "crash:1.0": "echo about to give up; echo no database >&2; exit 3",
    "sick:1.0": "echo never well; exec sleep 3600",
    "stubborn:1.0": "trap 'echo no' TERM; echo will not stop; while true; do sleep 1; done",
    "chatty:1.0": "trap 'exit 0' TERM; i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done",
}


@dataclass
class DockerEngine:
    """A running engine: `host` is its socket's URL, `registry` the address of the registry with the images."""

    host: str
    registry: str
    folder: Path
    start: Callable[[], None]
    stop: Callable[[], None]

    def image(self, name: str) -> str:
        """Return the full reference of one of the images."""
        return f"{self.registry}/{name}"

    def cli(self, *arguments: str) -> str:
        """Run the docker command against it, as somebody behind our back would."""
        run = subprocess.run(["docker", "-H", self.host, *arguments], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def names(self, *listing: str) -> list[str]:
        """Return the lines of a listing, e.g. `names("ps", "-aq")`."""
        return self.cli(*listing).split()

    def clean(self) -> None:
        """Remove every container, network and volume; the images stay."""
        import docker

        client = docker.APIClient(base_url=self.host, version="auto", timeout=60)
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True, v=True)
        client.prune_networks()
        for volume in client.volumes()["Volumes"] or []:
            client.remove_volume(volume["Name"], force=True)
        client.close()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """Run an engine and a registry for the whole session."""
    _require()
    folder = Path(tempfile.mkdtemp(prefix="cos-docker-", dir="/tmp"))
    daemon: list[subprocess.Popen[bytes]] = []
    registry, address = _start_registry(folder)

    def start() -> None:
        daemon.append(_start_engine(folder))

    def stop() -> None:
        _end(daemon.pop())

    engine = DockerEngine(f"unix://{folder}/docker.sock", address, folder, start, stop)
    try:
        start()
        _push_images(engine)
        yield engine
    finally:
        if daemon:
            with contextlib.suppress(Exception):  # its own end is what matters
                engine.clean()
            stop()
        _end(registry)
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _require() -> None:
    missing = sorted({package for program, package in _NEEDED.items() if shutil.which(program, path=_path()) is None})
    if missing:
        pytest.skip(f"no Docker Engine for the tests: apt-get install -y {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("no Docker Engine for the tests: dockerd needs root; run them by sudo")


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def _start_registry(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    address = f"127.0.0.1:{free_port()}"
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\nhttp:\n  addr: {address}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    host, port = address.split(":")
    _wait(lambda: _listens(host, int(port)), process, folder / "registry.log")
    return process, address


def _start_engine(folder: Path) -> subprocess.Popen[bytes]:
    third = 16 + os.getpid() % 200  # networks of their own beside another engine on the machine
    log_path = folder / "dockerd.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [
                "dockerd",
                f"--host=unix://{folder}/docker.sock",
                f"--data-root={folder}/data",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/docker.pid",
                f"--bip=10.213.{third}.1/24",
                f"--default-address-pool=base=10.{third}.0.0/16,size=24",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": _path()},
            start_new_session=True,
        )
    _wait(lambda: _answers(f"unix://{folder}/docker.sock"), process, log_path)
    return process


def _answers(host: str) -> bool:
    return subprocess.run(["docker", "-H", host, "version"], capture_output=True).returncode == 0


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 40
    while time.monotonic() < end:
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise RuntimeError(f"{process.args!r} does not come up:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(25)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], capture_output=True)


def _push_images(engine: DockerEngine) -> None:
    import docker

    client = docker.APIClient(base_url=engine.host, version="auto", timeout=60)
    base = client.import_image_from_data(_busybox(), repository="cloudos-busybox", tag="1")
    assert "error" not in base, base
    for name, script in IMAGES.items():
        reference = engine.image(name)
        for line in client.build(
            fileobj=_context(name, script), custom_context=True, tag=reference, decode=True, rm=True
        ):
            assert "error" not in line, line
        repository, tag = reference.rsplit(":", 1)
        for line in client.push(repository, tag, stream=True, decode=True):
            assert "error" not in line, line
    for name in IMAGES:
        client.remove_image(engine.image(name), force=True)
    client.close()


def _busybox() -> bytes:
    """Return a root file system: the static busybox with a link for each of its programs."""
    program = Path(shutil.which("busybox", path=_path()) or "/bin/busybox")
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "tmp", "etc", "root"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        _add(tar, "bin/busybox", program.read_bytes(), 0o755)
        for name in names:
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return out.getvalue()


def _context(name: str, script: str) -> io.BytesIO:
    """Return a build context: the script, and a layer of noise so that a pull has something to do."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "Dockerfile", _DOCKERFILE.format(name=name).encode(), 0o644)
        _add(tar, "noise", os.urandom(_LAYER), 0o644)
        _add(tar, "run", f"{script}\n".encode(), 0o755)
    out.seek(0)
    return out


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
