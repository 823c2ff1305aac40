"""A node with webhooks."""

import pytest
from webhook_node import Node, things


@pytest.fixture
def webhooks(cloudos):
    """Start a node whose webhooks may go to loopback."""

    async def start(**settings) -> Node:
        given = {"allow_private": True, "timeout_seconds": 0.5, **settings}
        return Node(await cloudos("webhooks", things(), settings={"webhooks": given}))

    return start
