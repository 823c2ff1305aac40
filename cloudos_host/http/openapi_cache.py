"""The description of the API: made once for the routes that there are, and kept as the bytes that are sent."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import orjson

from cloudos_host.http.app import CloudOSApp, describe


class OpenApiCache:
    """Makes the OpenAPI document in a thread; concurrent requests wait for the same document."""

    def __init__(self, app: CloudOSApp) -> None:
        self._app = app
        self._routes = -1
        self._made: tuple[bytes, str] = (b"", "")
        self._making: asyncio.Task[None] | None = None

    async def given(self) -> tuple[bytes, str]:
        """Return the document as JSON, and its entity tag without quotes (RFC 9110, 8.8.3)."""
        while self._routes != self._app.routes_changed:
            if self._making is None:
                self._making = asyncio.create_task(self._make(), name="describe")
            await asyncio.shield(self._making)
        return self._made

    async def _make(self) -> None:
        routes = self._app.routes_changed
        try:
            made = await asyncio.to_thread(_document, self._app)
        except Exception:
            if routes == self._app.routes_changed:
                raise
            return  # a plugin registered its routes meanwhile: what was read is neither before nor after
        finally:
            self._making = None
        if routes == self._app.routes_changed:
            self._made, self._routes = made, routes


def _document(app: CloudOSApp) -> tuple[bytes, str]:
    document: dict[str, Any] = describe(app)
    text = orjson.dumps(document)
    return text, hashlib.sha256(text).hexdigest()[:32]
