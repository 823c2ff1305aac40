"""A node with backups, and apps whose volumes are folders of the test."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

from cloudos_sdk.capabilities import AppAddress, AppContents, AppData, Apps, DataDump, DataFolder
from cloudos_sdk.testing.fakes import FakeAppData, FakeApps, providing


async def until(condition, seconds=60):
    """Wait for a condition, which may be a coroutine function; return what it found."""
    end = time.monotonic() + seconds
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return met
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.05)


class Things:
    """The apps of the test: `put` makes one with volumes in the folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.apps = FakeAppData(), FakeApps()

    def put(self, id: str, name: str, *volumes: str, running=True, dumps=(), hold="pause") -> Path:
        """Add an app; return the folder of its first volume."""
        folders = []
        for volume in volumes:
            path = self.folder / f"cloudos-{id}-{volume}" / "_data"
            path.mkdir(parents=True, exist_ok=True)
            folders.append(DataFolder(volume, str(path), True))
        self.data.put(
            AppContents(
                id=id,
                name=name,
                template=name,
                version="1.0",
                running=running,
                hold=hold,
                folders=tuple(folders),
                dumps=tuple(DataDump(*dump) for dump in dumps),
                definition=f'{{"secret": "hunter2 of {name}"}}',
            )
        )
        self.apps.apps[id] = AppAddress(id, name, "running" if running else "stopped", None)
        return Path(folders[0].path) if folders else self.folder


class Node:
    """A running host with backups, and what a test does to it."""

    def __init__(self, running: Any, things: Things, folder: Path) -> None:
        self.running, self.things, self.folder = running, things, folder
        self.keys: dict[str, str] = {}

    async def ask(self, method: str, path: str, status: int = 200, client: Any = None, **kwargs: Any) -> Any:
        """Ask the API below /api."""
        answer = await (client or self.running.client).request(method, f"/api/{path}", **kwargs)
        body = await answer.get_json(silent=True)
        assert answer.status_code == status, (answer.status_code, body)
        return body

    async def add_target(self, name: str = "disk", kind: str = "local", config: Any = None, status: int = 201) -> Any:
        """Add a target; a folder of the test where no config is given."""
        config = {"path": str(self.folder / "targets" / name)} if config is None else config
        body = {"name": name, "type": kind, "config": config}
        made = await self.ask("POST", "backup/targets", status, json=body)
        if status == 201:
            self.keys[name] = made["recovery_key"]
        return made

    async def back_up(self, target: str = "disk", status: str = "completed", **body: Any) -> Any:
        """Make a backup and wait for its end."""
        begun = await self.ask("POST", "backups", 201, json={"target": target, "include_config": False, **body})
        return await self.ended(begun["id"], status)

    async def ended(self, backup_id: str, status: str = "completed") -> Any:
        """Wait for the end of a backup."""

        async def over():
            found = await self.ask("GET", f"backups/{backup_id}")
            return found if found["status"] not in ("queued", "in_progress") else None

        found = await until(over)
        assert found["status"] == status, found
        if found["operation_id"] is not None:
            await self.operation(found["operation_id"])  # it measures the repository yet, and lets go of the target
        return found

    async def operation(self, operation_id: str, state: str | None = None) -> Any:
        """Wait for the end of an operation."""

        async def over():
            found = await self.ask("GET", f"operations/{operation_id}")
            return found if found["state"] not in ("queued", "running") else None

        found = await until(over)
        assert state in (None, found["state"]), found
        return found

    async def events(self, *types: str) -> list[Any]:
        """Return the stored events of these types."""
        return [event for event in await self.running.event_log() if event.type in types]

    def restic(self, name: str, *words: str, check: bool = True) -> str:
        """Run restic by hand on a local target, as an operator with the recovery key would."""
        password = self.keys[name].replace("-", "")
        environment = {
            "RESTIC_REPOSITORY": str(self.folder / "targets" / name),
            "RESTIC_PASSWORD": password,
            "RESTIC_CACHE_DIR": str(self.folder / "hand-cache"),
            "PATH": "/usr/bin:/bin",
        }
        run = subprocess.run(["restic", *words], env=environment, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0 or not check, run.stderr
        return run.stdout


async def start(cloudos: Any, things: Things, folder: Path, **settings: Any) -> Node:
    """Start a node with these apps."""
    given = {"tries": 1, "retry_seconds": 0, "cache_folder": str(folder / "cache"), **settings}
    running = await cloudos(
        "backups",
        providing(Apps, things.apps),
        providing(AppData, things.data),
        settings={"backups": given},
    )
    return Node(running, things, folder)
