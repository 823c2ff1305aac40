"""A host under test behind a real port, for clients that bring their own HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest


@pytest.fixture
async def served(cloudos: Callable[..., Any]) -> AsyncIterator[Callable[[Any], Awaitable[str]]]:
    """Serve running hosts on loopback: `url = await served(host)`; ended before the hosts stop."""
    import hypercorn.asyncio
    from hypercorn.config import Config

    stop, serving = asyncio.Event(), []

    async def serve(running: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]  # the server's from now on
        config.graceful_timeout = 0.1
        config.accesslog = config.errorlog = None
        app = running.host.app
        serving.append(asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)))
        return f"http://127.0.0.1:{port}"

    yield serve
    stop.set()
    await asyncio.gather(*serving, return_exceptions=True)
