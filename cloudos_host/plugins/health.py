"""How each plugin says that it is: asked every minute, for `/api/ready`, `/api/plugins` and `cloudos doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from cloudos_sdk import Health
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as

from cloudos_host.containment import contained, sentence_of
from cloudos_host.data.file_modes import write_private
from cloudos_host.node import Node
from cloudos_host.plugins.registry import PluginRecord, PluginState

_EVERY = 60.0
_SOON = 5.0
_LIMIT = 5.0


class HealthChecks:
    """Runs the health checks of the node and the running plugins; keeps the last results in `<data>/health.json`."""

    def __init__(
        self, own: PluginRecord, records: Sequence[PluginRecord], call: Callable[..., Any], node: Node
    ) -> None:
        self._own = own
        self._records = records
        self._call = call
        self._node = node
        self._log = node.log
        self._path = node.folder / "health.json"
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Ask for ever, in the machine's own time; the node itself more often while its database does not work."""
        while True:
            await self.check()
            for _ in range(int(_EVERY / _SOON)):
                await asyncio.sleep(_SOON)
                if self._node.db.trouble is not None or not self._own.health.ok:
                    await self._ask(self._own)

    async def check(self) -> None:
        """Ask every running plugin once."""
        async with self._asking:
            running = [record for record in self._records if record.state is PluginState.RUNNING]
            await asyncio.gather(*(self._ask(record) for record in [self._own, *running]))
            try:
                await asyncio.to_thread(self._store)
            except OSError as error:
                self._log.warning("health.json cannot be written", file=str(self._path), reason=str(error))

    async def _ask(self, record: PluginRecord) -> None:
        enter_context(record.context)
        act_as(Caller(None))
        try:
            async with asyncio.timeout(_LIMIT):
                if record is self._own:
                    answer = self._node.health()
                else:
                    answer = self._call(record, "cloudos_health", ctx=record.context)
                health = Health(True) if answer is None else await contained(answer)
            if not isinstance(health, Health):
                health = Health(False, f"its health check returned {type(health).__name__} instead of Health")
            for failing in (record.context.tasks.trouble(), record.context.faults.trouble()):
                if failing is not None:
                    health = Health(False, f"{health.detail} {failing}".strip() if not health.ok else failing)
        except TimeoutError:
            health = Health(False, f"it does not answer within {_LIMIT:g} s")
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - plugin code; the answer is that it is ill
            health = Health(False, f"its health check failed: {sentence_of(error)}")
        if health.ok != record.health.ok:
            log = self._log.info if health.ok else self._log.warning
            log(
                "health check passes again" if health.ok else "health check failed",
                plugin=record.id,
                detail=health.detail,
            )
        record.health = health

    def _store(self) -> None:
        answers = {r.id: {"ok": r.health.ok, "detail": r.health.detail} for r in [self._own, *self._records]}
        write_private(self._path, orjson.dumps(answers))
