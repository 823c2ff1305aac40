"""The health of the physical disks, as they report it themselves (S.M.A.R.T.)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from cloudos_sdk import Clock

from cloudos_system.disks.physical_disks import PhysicalDisk, physical_disks
from cloudos_system.disks.smart_report import SmartReport, read_report, unknown
from cloudos_system.disks.smartctl import SmartctlFailed, SmartctlMissing, ask
from cloudos_system.schemas import DiskHealth

_FRESH = 300.0  # seconds for which an answer does: to be asked costs a disk time


class DiskChecks:
    """Checks the disks, one at a time, and caches the reports."""

    def __init__(
        self,
        program: str,
        clock: Clock,
        log: Any,
        threads: ThreadPoolExecutor,
        disks: Callable[[], Sequence[PhysicalDisk]] = physical_disks,
    ) -> None:
        self._program = program
        self._disks = disks
        self._clock = clock
        self._log = log
        self._threads = threads
        self._asking = asyncio.Lock()
        self._found: list[tuple[PhysicalDisk, SmartReport]] = []
        self._checked: tuple[float, datetime] | None = None

    def reports(self) -> Mapping[str, SmartReport]:
        """Return the last reports by disk; empty before the first check."""
        return {disk.name: report for disk, report in self._found}

    async def health(self) -> list[DiskHealth]:
        """Return the disks, checked again if the last check is older than five minutes."""
        async with self._asking:
            if self._checked is None or self._clock.monotonic() - self._checked[0] > _FRESH:
                await self._ask_all()
            at = self._checked[1] if self._checked else self._clock.now()
            return [_public(disk, report, at) for disk, report in self._found]

    async def check(self) -> None:
        """Ask the disks now."""
        async with self._asking:
            await self._ask_all()

    async def _ask_all(self) -> None:
        before = self.reports()
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, before)
        for disk, report in found:
            earlier = before.get(disk.name)
            if report.status == "failing" and (earlier is None or earlier.status != "failing"):
                self._log.error("a disk is failing", disk=disk.name, reason=report.reason)
        self._found = found
        self._checked = (self._clock.monotonic(), self._clock.now())

    def _read(self, before: Mapping[str, SmartReport]) -> list[tuple[PhysicalDisk, SmartReport]]:
        return [(disk, self._report(disk, before.get(disk.name))) for disk in self._disks()]

    def _report(self, disk: PhysicalDisk, before: SmartReport | None) -> SmartReport:
        if disk.kind == "virtual":
            return unknown("A virtual disk has no health of its own; ask whoever runs the machine below.")
        if disk.kind == "sd_card":
            return unknown("Cards do not report their health.")
        try:
            report = read_report(ask(self._program, disk.device))
        except SmartctlMissing:
            return unknown("smartctl is not installed: apt-get install smartmontools")
        except SmartctlFailed as error:
            return unknown(str(error))
        return before if report.asleep and before is not None else report


def _public(disk: PhysicalDisk, report: SmartReport, at: datetime) -> DiskHealth:
    return DiskHealth.model_validate(
        {
            "device": disk.device,
            "kind": disk.kind,
            "model": report.model or disk.model,
            "serial": report.serial,
            "size_bytes": disk.size_bytes,
            "status": report.status,
            "reason": report.reason,
            "temperature_c": report.temperature_c,
            "power_on_hours": report.power_on_hours,
            "wear_percent": report.wear_percent,
            "checked_at": at,
        }
    )
