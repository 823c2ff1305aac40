"""What providers of `AppData` and `BackupSource` promise."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from cloudos_sdk.capabilities import AppData, BackupSource

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


async def check_app_data(data: AppData) -> None:
    """Check a provider of the apps' data where there is no app of the id asked for."""
    for missing in ("app_thereisnone", ""):
        assert await data.contents(missing) is None, "an app that is not there has no contents"
        await data.remove(missing)  # it is gone already


async def check_backup_source(source: BackupSource) -> None:
    """Check a source of data: it writes into its folder, and again into another one."""
    assert _NAME.fullmatch(source.name), f"{source.name!r} is no name of a folder"
    for _ in range(2):
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp))
        await source.write(str(folder))
        links = await asyncio.to_thread(
            lambda folder: [path for path in folder.rglob("*") if path.is_symlink()], folder
        )
        assert not links, f"{links[0]} is a link, which a backup does not follow"
