"""A node with the audit log and a plugin that makes events, and ways to read the log and to tamper with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import ModuleType

import pytest
import sqlalchemy as sa
from cloudos_sdk import Event, Manifest, Permission, Role, current, hookimpl, requires
from quart import Blueprint, request

from cloudos_host.data.database import make_engine


@dataclass(frozen=True, kw_only=True)
class ThingMade(Event, type="thing.made"):
    """A thing was made."""

    colour: str = "red"


@dataclass(frozen=True, kw_only=True)
class ThingsCounted(Event, type="things.counted"):
    """Things were counted; an area whose name begins like another's."""


def _things() -> ModuleType:
    module = ModuleType("things")
    blueprint = Blueprint("things", __name__)

    @blueprint.post("/api/things/<id>")
    @requires("things:write")
    async def make(id: str):
        ctx = current()
        event = ThingMade(resource=id, details=f"Made {id}", colour=request.args.get("colour", "red"))
        await ctx.db.write(lambda session: ctx.events.emit(session, event))
        return "", 204

    @hookimpl
    def cloudos_routes():
        return [blueprint]

    module.manifest = Manifest(
        title="Things",
        prefixes=("/api/things",),
        permissions=(Permission("things:write", "Make things", Role.VIEWER),),
        emits=(ThingMade, ThingsCounted),
    )
    module.cloudos_routes = cloudos_routes
    return module


class CommandNode:
    """A running host with the log, and what a test does to it."""

    Made = ThingMade
    Counted = ThingsCounted

    def __init__(self, running) -> None:
        self.running = running
        self.url = running.host.db.url

    @property
    def client(self):
        """The admin's client."""
        return self.running.client

    async def restart(self):
        """Stop the host and start it on the same data."""
        await self.running.restart()

    async def make(self, *ids, **fields):
        """Emit an event for each id, as the system, and wait for the entries."""
        await self.emit(*ids, **fields)
        await self.settled()

    async def emit(self, *ids, event=ThingMade, **fields):
        """Emit an event for each id, as the system."""
        ctx = self.running.ctx("things")

        def emit(session):
            for id in ids:
                ctx.events.emit(session, event(resource=id, details=f"Made {id}", **fields))

        await ctx.db.write(emit)

    async def settled(self):
        """Wait until the newest event has its entry; older ones may be gone."""
        newest = (await self.running.event_log())[-1].id
        async with asyncio.timeout(10):
            while newest not in [id for _, id in await self.recorded()]:
                await asyncio.sleep(0.01)

    def later(self, days):
        """Let days pass without waking the daily job, which a test runs by hand."""
        self.running.clock._passed += days * 86400

    async def recorded(self):
        """Return the numbers and event ids in the log."""
        return [tuple(row) for row in await self.rows("SELECT seq, event_id FROM audit_entry ORDER BY seq")]

    async def rows(self, statement):
        """Read by SQL."""
        return await self.running.ctx("audit").db.read(lambda s: s.execute(sa.text(statement)).all())

    def tamper(self, *statements, triggers=False, **values):
        """Change the database from outside, like someone who has the file; triggers out of the way first."""
        engine = make_engine(self.url, writes=True, size=1)
        try:
            with engine.begin() as connection:
                if not triggers:
                    _disarm(connection)
                for statement in statements:
                    connection.execute(sa.text(statement), values)
        finally:
            engine.dispose()

    async def entries(self, query="", client=None):
        """Read the log by the API."""
        response = await (client or self.client).get(f"/api/audit/logs{query}")
        assert response.status_code == 200, await response.get_data()
        return await response.get_json()

    async def verify(self):
        """Verify by the API."""
        response = await self.client.get("/api/audit/verify")
        assert response.status_code == 200
        return await response.get_json()

    async def problem(self):
        """Return kind and number of what the verification finds; None where it finds nothing."""
        outcome = await self.verify()
        assert outcome["valid"] is (outcome["problem"] is None)
        return outcome["problem"] and (outcome["problem"]["kind"], outcome["problem"]["seq"])

    async def keep(self):
        """Run the daily job now."""
        from cloudos_audit.jobs import KEEP

        await KEEP.run(self.running.ctx("audit"))
        await self.settled()


def _disarm(connection) -> None:
    if connection.dialect.name == "sqlite":
        for name in connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars():
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
    else:
        for table in ("audit_entry", "audit_head", "audit_checkpoint"):
            connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))


@pytest.fixture
def audit(cloudos):
    """Start a node with the audit log."""

    async def start(*, installed=True, after=None, **settings) -> CommandNode:
        ids = ["audit"] if installed else []
        given = {"audit": settings} if installed else {}
        where = {} if after is None else {"database_url": after.running.database_url}
        return CommandNode(await cloudos(*ids, _things(), settings=given, **where))

    return start
