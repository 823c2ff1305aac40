"""Web servers that are not ours, on loopback: an app that tells what it was sent, nginx and Apache of Debian."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "ssl", "headers", "alias")
_APACHE_MODULES = Path("/usr/lib/apache2/modules")


class _Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode("latin-1"),
        }
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def echo_app() -> Iterator[str]:
    """Return the address of an app that answers with what it was sent, as JSON."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@dataclass
class WebServer:
    """nginx or Apache with a folder of its own; `test` and `run` take the part of a configuration that matters."""

    kind: str
    folder: Path

    def test(self, part: str) -> str:
        """Have it check a configuration; return what it objects to, or nothing."""
        command = self._command(part, "-t")
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return done.stderr + done.stdout if done.returncode else ""

    @contextlib.contextmanager
    def run(self, part: str, port: int) -> Iterator[None]:
        """Run it in the background, as a machine does; end it at last, whoever runs it by then."""
        subprocess.run(self._command(part), check=True, timeout=20, capture_output=True, start_new_session=True)
        try:
            _await(lambda: listens(port) and self._pid_is_written())
            yield
        finally:
            with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
                os.kill(int((self.folder / "pid").read_text()), signal.SIGTERM)
                _await(lambda: not (self.folder / "pid").exists())

    def serving(self, port: int, text: str) -> str:
        """Return a configuration that answers with a text."""
        page = self.folder / "www" / "index.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text(text)
        page.parent.chmod(0o755)
        page.chmod(0o644)
        if self.kind == "nginx":
            return f"server {{ listen 127.0.0.1:{port}; root {self.folder}/www; }}"
        directory = f"LoadModule dir_module {_APACHE_MODULES}/mod_dir.so\nDirectoryIndex index.html"
        return f"Listen 127.0.0.1:{port}\nDocumentRoot {self.folder}/www\n{directory}\n"

    def _pid_is_written(self) -> bool:
        """Tell whether it has said who it is, which Apache does after it listens."""
        file = self.folder / "pid"
        return file.exists() and file.read_text().strip().isdigit()

    def _command(self, part: str, *more: str) -> list[str]:
        config = self.folder / "conf"
        folder = self.folder
        if self.kind == "nginx":
            temp = "".join(
                f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            head = f"pid {folder}/pid;\nerror_log {folder}/error.log;\nworker_processes 1;\nevents {{}}\n"
            config.write_text(f"{head}http {{\naccess_log off;\n{temp}{part}\n}}\n")
            return ["nginx", "-q", "-c", str(config), *more]
        loads = "".join(f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so\n" for name in _MODULES)
        head = (
            f"ServerRoot {folder}\nServerName front.test\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
            f"DefaultRuntimeDir {folder}\nMutex file:{folder} default\nStartServers 1\nUser nobody\nGroup nogroup\n"
        )
        config.write_text(loads + head + part)
        return ["apache2", "-f", str(config), *(more or ("-k", "start"))]


@pytest.fixture(params=["nginx", "apache"])
def web_server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    """Give nginx, and Apache."""
    program, package = {"nginx": ("nginx", "nginx-light"), "apache": ("apache2", "apache2")}[request.param]
    if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip(f"no {request.param} for the tests: apt-get install -y {package}")
    folder = Path(tempfile.mkdtemp(prefix="cos-web-", dir="/tmp"))
    folder.chmod(0o755)  # its workers run as somebody else
    yield WebServer(request.param, folder)
    shutil.rmtree(folder, ignore_errors=True)


def listens(port: int) -> bool:
    """Tell whether something listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(met: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not met():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)
