"""Notifies clients of changed lists and subscribed resources, within the scope of their keys.

What is to be told is collected for a moment, so that a flood of writes is one message; a client that does not take
its messages is no reason for others to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloudos_sdk import Context, Envelope

from cloudos_memory.mcp_server.app import McpApp
from cloudos_memory.mcp_server.registry import ToolRegistry, expand
from cloudos_memory.mcp_server.sessions import McpSession, McpSessions

LISTS = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
}
_NOTES = ("note.created", "note.updated", "note.deleted", "note.restored")
_COLLECT = 0.05
_LIMIT = 10.0
_LOOK = 5.0


class ChangeNotifier:
    """Turns events into notifications of sessions."""

    def __init__(self, ctx: Context, sessions: McpSessions, catalogue: ToolRegistry, front: McpApp) -> None:
        self._ctx = ctx
        self._sessions = sessions
        self._catalogue = catalogue
        self._front = front

    async def hear(self, event: Envelope) -> None:
        """Tell of an event those whom it concerns."""
        listening = self._listening()
        sessions = [s for s in self._sessions.all() if s.peer is not None or s in listening]
        if not sessions:
            return
        if event.type in _NOTES:
            owner, namespace = event.data["owner"], event.data["namespace"]
            uris = {
                "memory://recent",
                "memory://tags",
                f"memory://note/{event.resource}",
                f"memory://namespace/{namespace}",
            }
            came_or_went = event.type != "note.updated"
            for session in sessions:
                own = namespace == session.key.namespace
                if session.key.user_id == owner and namespace in session.key.readable:
                    news = uris if own else uris - {"memory://recent", "memory://tags"}
                    self._tell(session, news | ({"resources"} if came_or_went else set()))
            return
        concerned = {
            expand(uri, dict.fromkeys(entry.pattern.groupindex, event.resource)) if entry.pattern is not None else uri
            for among in (self._catalogue.resources, self._catalogue.templates)
            for uri, entry in among.items()
            if event.type in entry.part.events
        }
        for session in sessions if concerned else ():
            self._tell(session, concerned)

    async def look_for_ever(self) -> None:
        """Check every few seconds for started or stopped plugins, which change the lists."""
        while True:
            await self._ctx.clock.sleep(_LOOK)
            sessions = self._sessions.all()  # without any nothing is made: a node that nobody asks pays nothing
            changed = self._catalogue.refresh() if sessions and self._catalogue.made else set()
            for session in sessions if changed else ():
                self._tell(session, changed)

    def _listening(self) -> list[McpSession]:
        engine = self._front.engine
        found: list[McpSession] = engine.protocol.bus.sessions() if engine is not None else []
        return found

    def _tell(self, session: McpSession, news: set[str]) -> None:
        """Have a session told, with whatever else comes in the meantime."""
        if session.wire_id is not None:
            news = {item for item in news if item in LISTS or item in session.subscriptions}
        session.untold |= news
        if session.untold and session.telling is None:
            session.telling = asyncio.create_task(self._tell_soon(session), name="memory:tell-session")

    async def _tell_soon(self, session: McpSession) -> None:
        try:
            while session.untold:
                await asyncio.sleep(_COLLECT)
                news, session.untold = session.untold, set()
                async with asyncio.timeout(_LIMIT):
                    await self._front.engine.tell(session, {LISTS[n] for n in news & LISTS.keys()}, news - LISTS.keys())
        except TimeoutError:
            self._ctx.log.info("MCP client takes no messages", session=session.id)
        except Exception as error:  # noqa: BLE001 - a connection that broke; what was to be told is advice
            self._ctx.log.debug("MCP client not told", session=session.id, error=repr(error))
        finally:
            session.telling = None


@asynccontextmanager
async def telling_changes(ctx: Context) -> AsyncIterator[None]:
    """Tell clients of changes while the plugin runs."""
    catalogue, front = ctx.use(ToolRegistry), ctx.use(McpApp)
    changes = ChangeNotifier(ctx, ctx.use(McpSessions), catalogue, front)
    ctx.events.subscribe(changes.hear, "*", name="mcp-changes")
    ctx.tasks.start("look at the catalogue", changes.look_for_ever)
    yield
