"""Takes the web ports from another server, and gives them back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from cloudos_sdk import Conflict, Context, Unavailable, new_id
from sqlalchemy import delete, select
from sqlmodel import Session

from cloudos_proxy.domains.events import PortsReleased, PortsTaken
from cloudos_proxy.models import Takeover
from cloudos_proxy.ports.owners import OwnerProgram, PortOwner, occupants, program_of
from cloudos_proxy.ports.process_control import StopFailed, Systemd, start_program, stop_process
from cloudos_proxy.settings import ProxySettings

TABLE = Takeover.__table__
_FREE_SECONDS = 10.0


class WebPorts(Protocol):
    """The ports as the door has them."""

    @property
    def pid(self) -> int | None:
        """The process that serves on them for us."""
        ...

    def retry(self) -> None:
        """Open the ports now if there is something to serve."""
        ...

    def ports_yielded(self) -> AbstractAsyncContextManager[None]:
        """Serve no longer, close them, and leave them closed inside."""
        ...


class TakeoverService:
    """Takes the web ports and gives them back, one call at a time. A program is recorded before it is stopped."""

    def __init__(self, ctx: Context, ports: WebPorts, systemd: Systemd) -> None:
        self._ctx = ctx
        self._settings: ProxySettings = ctx.settings
        self._ports = ports
        self._systemd = systemd
        self._one = asyncio.Lock()

    async def status(self) -> dict[str, Any]:
        """Return the owners of the web ports, and the programs stopped for them."""
        held = await self._held()
        taken = [{"name": row.name, "how": row.how, "taken_at": row.taken_at} for row in await self._taken()]
        return {"ports": list(self._wanted), "held_by": [each.shown() for each in held], "taken": taken}

    async def take(self, *, confirmed: bool) -> dict[str, Any]:
        """Stop the owners of the ports. Raises Conflict if unconfirmed or not allowed."""
        if self._settings.mode == "coexist":
            raise Conflict(
                "mode_is_coexist", "This node stands behind another web server: set CLOUDOS_PROXY__MODE=own."
            )
        async with self._one:
            held = await self._held()
            for each in held:
                _refuse(each)
            if held and not confirmed:
                names = " and ".join(each.label for each in held)
                raise Conflict(
                    "takeover_requires_confirm",
                    f'This would stop {names}, and what it serves. Send {{"confirm": true}} to proceed.',
                    would_stop=[each.shown() for each in held],
                )
            for each in held:
                await self._stop(each)
            if held:
                await self._until_free()
                await self._tell_taken(held)
            self._ports.retry()
            return {"ports": list(self._wanted), "stopped": [each.shown() for each in held]}

    async def release(self) -> dict[str, Any]:
        """Start the stopped programs again, newest first. Raises Conflict, Unavailable."""
        async with self._one:
            rows = await self._taken()
            if not rows:
                raise Conflict("nothing_taken", "No server was stopped for the web ports.")
            try:
                async with self._ports.ports_yielded():
                    back = {each.unit or each.name for each in await self._held()}
                    for row in rows:
                        if row.name not in back:  # it may be: the host died before it stopped it, or somebody did it
                            await asyncio.to_thread(self._start, row)
            except StopFailed as error:
                self._ports.retry()
                raise Unavailable(f"It does not come back: {error}.", code="release_failed") from None
            names = [row.name for row in rows]
            event = PortsReleased(
                resource="web-ports", details=f"Gave the web ports back to {' and '.join(names)}", started=names
            )

            def store(session: Session) -> None:
                session.execute(delete(TABLE).where(TABLE.c.id.in_([row.id for row in rows])))
                self._ctx.events.emit(session, event)

            await self._ctx.db.write(store)
            return {"ports": list(self._wanted), "started": names}

    @property
    def _wanted(self) -> tuple[int, int]:
        return self._settings.http_port, self._settings.https_port

    async def _held(self) -> list[PortOwner]:
        ours = {os.getpid(), self._ports.pid or 0}
        udp = (self._settings.https_port,) if self._settings.http3 else ()
        return await asyncio.to_thread(occupants, self._wanted, udp, ours)

    async def _taken(self) -> Sequence[Takeover]:
        statement = select(Takeover).order_by(TABLE.c.taken_at.desc(), TABLE.c.id)
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def _stop(self, occupant: PortOwner) -> None:
        row = await asyncio.to_thread(self._remembered, occupant)
        await self._ctx.db.write(lambda s: s.add(row))
        id = row.id
        try:
            if occupant.unit is not None:
                await asyncio.to_thread(self._systemd.stop, occupant.unit)
            elif occupant.pid is not None:
                await asyncio.to_thread(stop_process, occupant.pid)
        except StopFailed as error:
            await self._ctx.db.write(lambda s: s.execute(delete(TABLE).where(TABLE.c.id == id)))
            raise Unavailable(f"{occupant.label} was not stopped: {error}.", code="takeover_failed") from None

    def _remembered(self, occupant: PortOwner) -> Takeover:
        """Return how to start an owner again. Raises Unavailable if unknown. Blocks."""
        import psutil

        if occupant.unit is not None:
            restart = "enabled" if self._systemd.is_enabled(occupant.unit) else "disabled"
        else:
            try:
                restart = program_of(occupant.pid or 0).dump()
            except psutil.Error as error:
                message = f"{occupant.label} cannot be looked at, so it could not be started again: {error}."
                raise Unavailable(message, code="takeover_failed") from None
        return Takeover(
            id=new_id("take"),
            how=occupant.how,
            name=occupant.unit or occupant.name,
            restart=self._ctx.secrets.encrypt(restart),
            taken_at=self._ctx.clock.now(),
        )

    def _start(self, row: Takeover) -> None:
        restart = self._ctx.secrets.decrypt(row.restart)
        if row.how == "unit":
            self._systemd.start(row.name, enable=restart == "enabled")
        else:
            start_program(OwnerProgram.load(restart))

    async def _until_free(self) -> None:
        end = time.monotonic() + _FREE_SECONDS
        while held := await self._held():
            if time.monotonic() > end:
                names = " and ".join(each.label for each in held)
                raise Unavailable(f"{names} came back and holds the ports again.", code="takeover_failed")
            await asyncio.sleep(0.1)

    async def _tell_taken(self, held: Sequence[PortOwner]) -> None:
        names = [each.label for each in held]
        event = PortsTaken(
            resource="web-ports", details=f"Stopped {' and '.join(names)} for the web ports", stopped=names
        )
        await self._ctx.db.write(lambda s: self._ctx.events.emit(s, event))


def _refuse(occupant: PortOwner) -> None:
    """Raise Conflict for programs that we must not stop, with instructions."""
    ports = " and ".join(map(str, occupant.ports))
    if occupant.how == "container":
        command = f"docker ps --filter publish={occupant.ports[0]}; docker stop <its name>"
        raise Conflict(
            "held_by_container",
            f"Port {ports} is held by a {occupant.label}. Stop it yourself: {command}",
            held_by=occupant.shown(),
            command=command,
        )
    if occupant.how == "unknown":
        raise Conflict(
            "holder_unknown",
            f"Port {ports} is held by a program that this node may not see; run the node as root, or stop it yourself.",
            held_by=occupant.shown(),
        )
