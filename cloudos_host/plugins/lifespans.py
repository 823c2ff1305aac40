"""The last phase: one task for each plugin enters its lifespan, runs its jobs and leaves it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from cloudos_sdk import NotReady, Unavailable
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as

from cloudos_host.config import HostSettings
from cloudos_host.containment import contained
from cloudos_host.node import is_full
from cloudos_host.plugins import jobs
from cloudos_host.plugins.process_state import ProcessState
from cloudos_host.plugins.registry import BootPhase, PluginRecord, PluginState
from cloudos_host.plugins.startup_crash_log import StartupCrashLog


class Lifespans:
    """Starts plugins one at a time and tries those again that are not ready."""

    def __init__(self, call: Callable[..., Any], notes: StartupCrashLog, settings: HostSettings, log: Any) -> None:
        self._call = call
        self._notes = notes
        self._settings = settings
        self._log = log
        self._process = ProcessState()

    async def start(self, record: PluginRecord) -> None:
        """Start one plugin and wait for the first outcome: it runs, it waits, or it failed."""
        record.phase = BootPhase.START
        first = asyncio.Event()
        self._notes.enter(record.id)
        record.runner = asyncio.create_task(self._live(record, first), name=f"plugin:{record.id}")
        await first.wait()
        self._notes.leave()
        self._put_back(record)
        if record.state is PluginState.RUNNING:
            self._notes.survived(record.id)

    def _put_back(self, record: PluginRecord) -> None:
        """Undo what a plugin changed for the whole process, and tell the operator which."""
        for what in self._process.restore():
            record.context.faults.note("its start", f"it changed {what}, which was put back")
            self._log.error("plugin changed the process", plugin=record.id, what=what)

    async def stop(self, record: PluginRecord) -> None:
        """Stop one plugin; what does not end in time is abandoned and logged."""
        if record.runner is None:
            return
        record.runner.cancel()
        _, pending = await asyncio.wait([record.runner], timeout=self._settings.stop_limit / 2)
        if pending:
            self._log.error("plugin does not stop", plugin=record.id)

    async def _live(self, record: PluginRecord, first: asyncio.Event) -> None:
        enter_context(record.context)
        act_as(Caller(None))
        wait = 0.5
        try:
            while True:
                try:
                    await self._once(record, first)
                    return
                except (NotReady, Unavailable) as error:  # Unavailable: who provides what it needs is not up yet
                    record.state, record.reason = PluginState.WAITING, f"not ready: {error}; trying again"
                    self._log.warning("plugin waits", plugin=record.id, reason=str(error))
                except OSError as error:
                    if not is_full(error):
                        raise
                    record.state, record.reason = PluginState.WAITING, f"the disk is full: {error}; trying again"
                    self._log.warning("plugin waits", plugin=record.id, reason=record.reason)
                first.set()
                await record.context.clock.sleep(wait)
                wait = min(self._settings.retry_limit, wait * 2)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - plugin code; it fails alone
            record.fail(record.phase, error)
            self._log.error("plugin failed", plugin=record.id, phase=record.phase.value, reason=record.reason)
        finally:
            first.set()

    async def _once(self, record: PluginRecord, first: asyncio.Event) -> None:
        context = record.context
        manager = self._call(record, "cloudos_lifespan", ctx=context)
        entered = False
        work: list[asyncio.Task[None]] = []
        try:
            if manager is not None:
                await self._enter(manager)
            entered = True
            record.state, record.phase, record.reason = PluginState.RUNNING, BootPhase.SERVE, None
            for job in record.jobs:
                work.append(context.tasks.start(f"job {job.name}", partial(jobs.supervise, context, job, context.db)))
            self._log.info("plugin runs", plugin=record.id)
            first.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            record.state = PluginState.STOPPED
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await context.quiesce()
            try:
                if manager is not None and entered:
                    await contained(manager.__aexit__(None, None, None))
            finally:
                await context.release()

    async def _enter(self, manager: Any) -> None:
        try:
            async with asyncio.timeout(self._settings.start_limit) as limit:
                await contained(manager.__aenter__())
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(f"it did not start within {self._settings.start_limit:g} s") from None
            raise
