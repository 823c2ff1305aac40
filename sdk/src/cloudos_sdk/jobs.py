"""Periodic work: `Job("prune", every=timedelta(hours=1), run=prune)`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudos_sdk.context import Context


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that the host repeats while the plugin runs: never two at once, each run recorded.

    Give either `every` (counted from the end of the last run, with a tenth of it as jitter) or `daily`
    (a time of day in UTC; a run missed while the host was down is made up once at the next start).
    `run` may take `timeout` and is then cancelled; what it raises is logged and shown by `cloudos doctor`.
    """

    name: str
    run: Callable[[Context], Awaitable[None]]
    every: timedelta | None = None
    daily: time | None = None
    timeout: timedelta = timedelta(minutes=5)
    feature: str | None = None

    def __post_init__(self) -> None:
        """Refuse a job with no schedule or with two."""
        if (self.every is None) == (self.daily is None):
            raise ValueError(f"job {self.name!r} needs either `every` or `daily`")
