"""The tools of the graph: link, unlink, neighbors. Links stay within a namespace."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import InvalidRequest
from cloudos_sdk.capabilities import NoteFilter
from cloudos_sdk.capabilities.mcp import McpCall, McpResult, McpTool

from cloudos_memory.tools.idempotency import IdempotentCalls
from cloudos_memory.tools.schemas import (
    LinkArguments,
    LinkedOut,
    NeighborsArguments,
    NeighborsOut,
    note_out,
)
from cloudos_memory.tools.scope import ALL, KeyScope


class LinkTools:
    """Links memories and walks the links."""

    def __init__(self, reach: KeyScope, once: IdempotentCalls) -> None:
        self._reach = reach
        self._once = once

    def tools(self) -> tuple[McpTool, ...]:
        """Return the tools."""
        return (
            McpTool(
                name="link",
                title="Link two memories",
                description="Link two memories of the key's namespace; `changed` is false where they were linked.",
                arguments=LinkArguments,
                result=LinkedOut,
                run=self.link,
                scope="manage_links",
                idempotent=True,
            ),
            McpTool(
                name="unlink",
                title="Unlink two memories",
                description="Remove a link that memory_link made; one from a [[wikilink]] goes with the text.",
                arguments=LinkArguments,
                result=LinkedOut,
                run=self.unlink,
                scope="manage_links",
                destructive=True,
                idempotent=True,
            ),
            McpTool(
                name="neighbors",
                title="Linked memories",
                description="Walk the links of a memory in both directions, breadth-first, nearest first.",
                arguments=NeighborsArguments,
                result=NeighborsOut,
                run=self.neighbors,
                scope="read_memory",
                read_only=True,
                idempotent=True,
            ),
        )

    async def link(self, call: McpCall, arguments: LinkArguments) -> McpResult:
        """Link two memories."""
        return await self._change("link", arguments)

    async def unlink(self, call: McpCall, arguments: LinkArguments) -> McpResult:
        """Remove a link."""
        return await self._change("unlink", arguments)

    async def neighbors(self, call: McpCall, arguments: NeighborsArguments) -> McpResult:
        """Return the memories linked to a memory."""
        note, key = await self._reach.find(arguments.id), self._reach.key()
        wanted = NoteFilter(owner=key.user_id, namespaces=self._reach.namespaces(ALL), archived=True)
        reached = await self._reach.store.neighbours(note.id, wanted, arguments.depth, arguments.limit)
        await call.progress(1, 1, f"{len(reached)} reached")
        listed = [{"memory": note_out(n.note), "distance": n.distance} for n in reached]
        return McpResult(structured={"neighbors": listed})

    async def _change(self, what: str, arguments: LinkArguments) -> McpResult:
        key, store = self._reach.key(), self._reach.store

        async def work() -> dict[str, Any]:
            source, target = await self._reach.own(arguments.source), await self._reach.own(arguments.target)
            if source.id == target.id:
                raise InvalidRequest("A memory is not linked to itself.")
            change = store.link if what == "link" else store.unlink
            changed = await change(key.user_id, source.id, target.id)
            return {"source": source.id, "target": target.id, "changed": changed}

        return McpResult(structured=await self._once.do(key, arguments.idempotency_key, what, arguments, work))
