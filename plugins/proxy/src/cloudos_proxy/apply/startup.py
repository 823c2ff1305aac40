"""Starts the proxy with the host, and its health check."""

from __future__ import annotations

import asyncio
from typing import Any

from cloudos_sdk import CloudOSError, Context, DatabaseUnavailable, Health

from cloudos_proxy.apply.applier import Applier
from cloudos_proxy.apply.automatic_routes import AppRoutes
from cloudos_proxy.caddy.own_address import OwnAddress
from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.settings import ProxySettings

_LOOK_SECONDS = 0.5
_LOOKS = 60


class ProxyStartup:
    """Starts Caddy and the automatic routes in the background, without delaying the host's start."""

    def __init__(self, ctx: Context, door: CaddySupervisor, applier: Applier, own: OwnAddress, apps: AppRoutes) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._door = door
        self._applier = applier
        self._own = own
        self._apps = apps
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = self._ctx.tasks.start("start of the proxy", self._begin)

    async def stop(self) -> None:
        """End, and let Caddy end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._applier.stop()
        await self._door.stop()

    async def state(self) -> dict[str, Any]:
        """Return how the door is, as the API shows it."""
        trouble = await self._door.look()
        external = self._settings.admin_address is not None
        return {
            "serving": self._door.document is not None and trouble is None,
            "pid": self._door.pid,
            "ports": self._door.ports,
            "mode": "external" if external else self._settings.mode,
            "base_domain": self._settings.base_domain,
            "trouble": trouble,
        }

    async def health(self) -> Health:
        """Check that the applied configuration is served."""
        trouble = await self._door.look()
        if trouble is not None:
            return Health(False, trouble)
        return Health(True, "serving" if self._door.document is not None else "nothing is applied yet")

    async def _begin(self) -> None:
        if await self._applier.start():
            await self._until_the_api_listens()
            await self._bring_up_to_date()
        else:
            await self._door.clear()
        await self._apps.keep_apps()

    async def _until_the_api_listens(self) -> None:
        for _ in range(_LOOKS):
            await self._own.get()
            if self._own.known:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _bring_up_to_date(self) -> None:
        """Serve with the settings and addresses of now: they may be others than when it was applied."""
        try:
            await self._applier.refresh("start")
        except DatabaseUnavailable:
            raise
        except CloudOSError as error:
            self._ctx.log.warning("what was applied could not be brought up to date", reason=error.message)
