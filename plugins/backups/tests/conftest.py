"""A node with backups for each test."""

from __future__ import annotations

import pytest
from backup_node import Node, Things, start


@pytest.fixture
def things(tmp_path) -> Things:
    """Return the apps of the test."""
    return Things(tmp_path / "volumes")


@pytest.fixture
async def node(cloudos, things, tmp_path, restic) -> Node:
    """Run a node with a real restic."""
    return await start(cloudos, things, tmp_path)
