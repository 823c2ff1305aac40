"""The reader threads of the database; a caller with many reads leaves one thread to all others."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class ReaderPool:
    """A pool of threads, of which the work of one caller takes at most all but one; more of it waits for its own."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="db-read")
        self._share = max(1, threads - 1)
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = defaultdict(deque)

    def submit(self, caller: str | None, fn: Callable[[], Any]) -> Future[Any]:
        """Have `fn` run for a caller; None is the node itself, which is not counted."""
        if caller is None:
            return self._pool.submit(fn)
        future: Future[Any] = Future()
        with self._lock:
            if self._running[caller] >= self._share:
                self._waiting[caller].append((future, fn))
                return future
            self._running[caller] += 1
        self._pool.submit(self._run, caller, future, fn)
        return future

    def shutdown(self) -> None:
        """Finish running reads and cancel waiting ones."""
        with self._lock:
            left = [future for waiting in self._waiting.values() for future, _ in waiting]
            self._waiting.clear()
        for future in left:
            future.cancel()
        self._pool.shutdown()

    def _run(self, caller: str, future: Future[Any], fn: Callable[[], Any]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn()
                except BaseException as error:  # noqa: BLE001 - it is the caller's
                    future.set_exception(error)
                else:
                    future.set_result(result)
        finally:
            self._next(caller)

    def _next(self, caller: str) -> None:
        with self._lock:
            waiting = self._waiting.get(caller)
            if not waiting:
                self._waiting.pop(caller, None)
                self._running[caller] -= 1
                if not self._running[caller]:
                    del self._running[caller]
                return
            future, fn = waiting.popleft()
        self._pool.submit(self._run, caller, future, fn)
