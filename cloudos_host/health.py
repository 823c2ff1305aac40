"""How each plugin says that it is: asked every minute, for `/api/ready`, `/api/plugins` and `cloudos doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from cloudos_sdk import Health
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as

from cloudos_host.private import write_private
from cloudos_host.registry import Record, State

_EVERY = 60.0
_LIMIT = 5.0


class HealthChecks:
    """Asks the running plugins, each by itself, and keeps the last answers in `<data>/health.json`."""

    def __init__(self, records: Sequence[Record], call: Callable[..., Any], log: Any, data_dir: Path) -> None:
        self._records = records
        self._call = call
        self._log = log
        self._path = data_dir / "health.json"
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Ask for ever, in the machine's own time."""
        while True:
            await self.check()
            await asyncio.sleep(_EVERY)

    async def check(self) -> None:
        """Ask every running plugin once."""
        async with self._asking:
            running = [record for record in self._records if record.state is State.RUNNING]
            await asyncio.gather(*(self._ask(record) for record in running))
            await asyncio.to_thread(self._store)

    async def _ask(self, record: Record) -> None:
        enter_context(record.context)
        act_as(Caller(None))
        try:
            async with asyncio.timeout(_LIMIT):
                answer = self._call(record, "cloudos_health", ctx=record.context)
                health = Health(True) if answer is None else await answer
        except TimeoutError:
            health = Health(False, f"it does not answer within {_LIMIT:g} s")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - plugin code; the answer is that it is ill
            health = Health(False, f"its health check failed: {type(error).__name__}: {error}")
        if health.ok != record.health.ok:
            log = self._log.info if health.ok else self._log.warning
            log("plugin is well again" if health.ok else "plugin is not well", plugin=record.id, detail=health.detail)
        record.health = health

    def _store(self) -> None:
        answers = {r.id: {"ok": r.health.ok, "detail": r.health.detail} for r in self._records}
        write_private(self._path, orjson.dumps(answers))
