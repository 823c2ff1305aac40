"""By which name this node's snapshots are known: the node's id, as its folder notes it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from cloudos_sdk import Context


async def node_name(ctx: Context) -> str:
    """Return the node's id; `cloudos` where its folder does not note one."""
    return await asyncio.to_thread(_read, ctx.data_dir.parent / "node.json")


def _read(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return "cloudos"
