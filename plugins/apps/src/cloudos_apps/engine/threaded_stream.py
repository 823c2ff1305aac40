"""A stream that blocks, read in a thread of its own and handed to the event loop item by item."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

_ROOM = 512


class ThreadedStream:
    """Iterates the stream that `open()` returns; its `close()` ends a read running in another thread.

    At most `_ROOM` items wait: a slow reader slows the thread. `translated` gives the error that the reader gets for
    one of the stream's.
    """

    def __init__(self, open: Callable[[], Any], translated: Callable[[Exception], Exception], name: str) -> None:
        self._open = open
        self._translated = translated
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._room = threading.Semaphore(_ROOM)
        self._guard = threading.Lock()
        self._closed = False
        self._source: Any = None
        self.opened = asyncio.Event()
        """Set once the stream is open, or has ended."""
        threading.Thread(target=self._read, name=name, daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while not self._closed:
            kind, item = await self._items.get()
            if kind == "end":
                if item is not None and not self._closed:
                    raise item
                return
            self._room.release()
            yield item

    def close(self) -> None:
        """Close the stream, its thread, and waiting readers."""
        with self._guard:
            self._closed = True
            source, self._source = self._source, None
        if source is not None:
            with contextlib.suppress(Exception):  # it may have ended by itself, in any state
                source.close()
        self._items.put_nowait(("end", None))

    def _read(self) -> None:
        error: Exception | None = None
        try:
            source = self._open()
            with self._guard:
                if not self._closed:
                    self._source = source
            if self._source is None:
                source.close()
                return
            self._tell(self.opened.set)
            for item in source:
                if not self._put(item):
                    return
        except Exception as failure:  # noqa: BLE001 - whatever it is, the reader gets it
            error = self._translated(failure)
        finally:
            self._tell(self.opened.set)
            self._tell(self._items.put_nowait, ("end", error))

    def _put(self, item: Any) -> bool:
        while not self._room.acquire(timeout=0.5):
            if self._closed:
                return False
        return not self._closed and self._tell(self._items.put_nowait, ("item", item))

    def _tell(self, what: Callable[..., Any], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(what, *args)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return False
        return True
