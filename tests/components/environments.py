"""Real environments: a venv with wheels of ours and a server process from it. Nothing is downloaded."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
WHO = {"username": "root", "password": "correct horse battery"}


def clean_environ(**more):
    """Return this process's environment without settings of Cloud OS and paths of Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLOUDOS_", "PYTHON", "PYTEST"))}
    return {**kept, "CLOUDOS_AUTH__BCRYPT_COST": "4", **more}


def run(*command, cwd=None):
    """Run a program; fail with what it said."""
    done = subprocess.run(command, cwd=cwd, env=clean_environ(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(project, into):
    """Build a project's wheel without a network; return its path."""
    before = set(into.glob("*.whl"))
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", into, project)
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Return the wheels of our distributions by name, built from this checkout."""
    into = tmp_path_factory.mktemp("wheels")
    projects = [ROOT / "sdk", ROOT, *(path.parent for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))]
    built = [build(project, into) for project in projects]
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in built}


@pytest.fixture(scope="session")
def third_party(tmp_path_factory):
    """Return a folder with the libraries of this environment and nothing of ours."""
    folder = tmp_path_factory.mktemp("third-party")
    for source in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(source).iterdir():
            ours = "cloudos" in entry.name or entry.suffix == ".pth" or entry.name.startswith("__editable__")
            if not ours and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    return folder


class Environment:
    """A virtual environment that shares the libraries of this one."""

    def __init__(self, folder, third_party):
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "third_party.pth").write_text(f"{third_party}\n")

    def install(self, *found):
        """Install wheels."""
        run(*PIP, "--python", self.python, "install", "--no-deps", "--no-index", "--no-compile", *found)

    def uninstall(self, *names):
        """Uninstall distributions."""
        run(*PIP, "--python", self.python, "uninstall", "--yes", *names)

    @contextlib.contextmanager
    def serve(self, data, *options, **environ):
        """Run `cloudos serve` as a process; end it as an operator would."""
        command = [self.folder / "bin" / "cloudos", "serve", "--port", "0", "--data-dir", data, *options]
        with serving(command, **environ) as server:
            yield server


@pytest.fixture(scope="session")
def environment(tmp_path_factory, third_party):
    """Make environments."""
    return lambda: Environment(tmp_path_factory.mktemp("environment") / "venv", third_party)


class Server:
    """A host in a process of its own."""

    def __init__(self, process, url):
        self.process = process
        self.url = url
        self.token = None

    def request(self, method, path, body=None):
        """Send a request; return status and body, read as JSON where it is."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _read(answer)
        except urllib.error.HTTPError as error:
            return error.code, _read(error)

    def sign_in(self):
        """Make the admin account, where there is none, and sign in with it; return the token."""
        self.token = None
        status, _ = self.request("POST", "/api/auth/setup", WHO)
        assert status in (201, 409)
        status, body = self.request("POST", "/api/auth/login", WHO)
        assert status == 200, body
        self.token = body["access_token"]
        return self.token


def _read(answer):
    raw = answer.read()
    return json.loads(raw) if answer.headers.get_content_type() == "application/json" else raw


@contextlib.contextmanager
def serving(command, **environ):
    """Run a command that serves; yield it once it says where, and end it with SIGTERM."""
    process = subprocess.Popen(
        command, env=clean_environ(**environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    )
    try:
        url = _address(process)
        _await_listening(url)
        yield Server(process, url)
        process.terminate()
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said.decode(errors="replace")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def _address(process):
    said, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        ready, _, _ = select.select([process.stderr], [], [], 1)
        chunk = os.read(process.stderr.fileno(), 65536) if ready else None
        said += chunk or b""
        if found := re.search(rb"serving on (http://\S+)", said):
            return found[1].decode()
        assert chunk != b"", f"it ended: {said.decode(errors='replace')}"
    raise AssertionError(f"it did not serve within a minute: {said.decode(errors='replace')}")


def _await_listening(url):
    """Wait for the moment between the line that says where and the first connection that is taken."""
    where = urllib.parse.urlsplit(url)
    until = time.monotonic() + 5
    while True:
        try:
            socket.create_connection((where.hostname, where.port), timeout=5).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
