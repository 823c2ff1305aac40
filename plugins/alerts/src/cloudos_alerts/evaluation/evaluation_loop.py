"""The loop behind the evaluation: each tick of the metrics, each event that counts, and the time between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from cloudos_sdk import Context, Health
from cloudos_sdk.capabilities import Metrics, Tick

from cloudos_alerts.evaluation.engine import RuleEvaluator

_RETRY = 5.0


class EvaluationLoop:
    """Evaluates rules on each tick and event while the plugin runs."""

    def __init__(self, ctx: Context, engine: RuleEvaluator) -> None:
        self._ctx = ctx
        self._engine = engine
        self._patience = timedelta(seconds=ctx.settings.patience_seconds)
        self._beat = ctx.settings.patience_seconds / 3
        self._ticked_at = ctx.clock.now()
        self._tick: Tick | None = None
        self._events = False
        self._wake = asyncio.Event()
        self._trouble: str | None = None

    def events_changed(self) -> None:
        """Look at the rules on events soon."""
        self._events = True
        self._wake.set()

    def health(self) -> Health:
        """Check that the last evaluation succeeded."""
        return Health(self._trouble is None, self._trouble or "")

    async def run(self) -> None:
        """Watch until cancelled."""
        helpers = [self._ctx.tasks.start("ticks", self._read), self._ctx.tasks.start("time between", self._pass_time)]
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._events:
                    self._events = False
                    await self._try(self._engine.evaluate_events(self._ctx.clock.now()))
                if self._tick is not None:
                    tick, self._tick = self._tick, None
                    await self._try(self._engine.evaluate(tick.time, tick.samples))
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _try(self, evaluation: Coroutine[Any, Any, None]) -> None:
        try:
            await evaluation
        except Exception as error:
            self._trouble = f"Rules could not be evaluated: {type(error).__name__}; see the log."
            self._ctx.log.error("rules could not be evaluated", exc_info=error)
        else:
            self._trouble = None

    async def _read(self) -> None:
        """Read ticks from the current metrics provider, skipping to the newest."""
        while True:
            metrics = self._ctx.find(Metrics)
            if metrics is not None:
                try:
                    async for tick in metrics.ticks():
                        self._tick, self._ticked_at = tick, self._ctx.clock.now()
                        self._wake.set()
                except Exception as error:
                    self._ctx.log.warning("the metrics cannot be read", exc_info=error)
            await self._ctx.clock.sleep(_RETRY)

    async def _pass_time(self) -> None:
        """Evaluate periodically without ticks: events expire, and unmeasured series have no data."""
        while True:
            await self._ctx.clock.sleep(self._beat)
            now = self._ctx.clock.now()
            if now - self._ticked_at >= self._patience or now < self._ticked_at:
                self._tick = self._tick or Tick(now, ())
            else:
                self._events = True
            self._wake.set()
