"""The tools that write: create, update, delete. A key writes its own namespace and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudos_sdk import InvalidRequest
from cloudos_sdk.capabilities import NoteChange, NoteDraft
from cloudos_sdk.capabilities.mcp import McpCall, McpResult, McpTool

from cloudos_memory.keys.cache import HeldKey
from cloudos_memory.tools.duplicates import resembled
from cloudos_memory.tools.idempotency import IdempotentCalls
from cloudos_memory.tools.schemas import (
    CreateArguments,
    CreatedOut,
    DeleteArguments,
    DeletedOut,
    MemoryOut,
    UpdateArguments,
    note_out,
)
from cloudos_memory.tools.scope import KeyScope


class WriteTools:
    """Writes memories."""

    def __init__(self, reach: KeyScope, once: IdempotentCalls) -> None:
        self._reach = reach
        self._once = once

    def tools(self) -> tuple[McpTool, ...]:
        """Return the tools."""
        return (
            McpTool(
                name="create",
                title="Remember",
                description="Write a new memory. Says in `resembles` which one already says nearly the same.",
                arguments=CreateArguments,
                result=CreatedOut,
                run=self.create,
            ),
            McpTool(
                name="update",
                title="Change a memory",
                description="Change the title, content, tags, importance or archived state of a memory.",
                arguments=UpdateArguments,
                result=MemoryOut,
                run=self.update,
                idempotent=True,
            ),
            McpTool(
                name="delete",
                title="Forget",
                description="Put a memory into the trash, from where its owner can restore it, or remove it for good.",
                arguments=DeleteArguments,
                result=DeletedOut,
                run=self.delete,
                scope="delete_memory",
                destructive=True,
                idempotent=True,
            ),
        )

    async def create(self, call: McpCall, arguments: CreateArguments) -> McpResult:
        """Create a memory tagged with its origin."""
        key, store = self._reach.key(), self._reach.store
        named = arguments.idempotency_key

        async def work() -> dict[str, Any]:
            like = await resembled(store, key.user_id, key.namespace, arguments.content)
            draft = NoteDraft(
                content=arguments.content,
                title=arguments.title,
                tags=_tags(arguments.tags, key),
                importance=arguments.importance,
                source="mcp",
                namespace=key.namespace,
                client=key.client,
            )
            note = await store.create(
                key.user_id, draft, idempotency_key=f"{key.namespace}/{named}" if named is not None else None
            )
            if like is not None and like[0].id == note.id:  # made under this name before the node was killed
                like = None
            seen = like and {"id": like[0].id, "title": like[0].title, "similarity": round(like[1], 3)}
            return {"memory": note_out(note), "resembles": seen}

        return McpResult(structured=await self._once.do(key, named, "create", arguments, work))

    async def update(self, call: McpCall, arguments: UpdateArguments) -> McpResult:
        """Change a memory."""
        key, store = self._reach.key(), self._reach.store
        change = NoteChange(
            title=arguments.title,
            content=arguments.content,
            tags=None if arguments.tags is None else _tags(arguments.tags, key),
            importance=arguments.importance,
            archived=arguments.archived,
        )
        if change == NoteChange():
            raise InvalidRequest("Say what to change: title, content, tags, importance or archived.")

        async def work() -> dict[str, Any]:
            note = await self._reach.own(arguments.id)
            return {"memory": note_out(await store.update(key.user_id, note.id, change, version=arguments.version))}

        return McpResult(structured=await self._once.do(key, arguments.idempotency_key, "update", arguments, work))

    async def delete(self, call: McpCall, arguments: DeleteArguments) -> McpResult:
        """Put a memory into the trash, or remove it for good."""
        key, store = self._reach.key(), self._reach.store

        async def work() -> dict[str, Any]:
            note = await self._reach.own(arguments.id)
            await store.delete(key.user_id, note.id, for_good=arguments.permanent)
            return {"id": note.id, "permanent": arguments.permanent}

        return McpResult(structured=await self._once.do(key, arguments.idempotency_key, "delete", arguments, work))


def _tags(given: Iterable[str], key: HeldKey) -> tuple[str, ...]:
    """Return a client's tags and the origin tags; clients cannot set `ns/…`."""
    plain = [tag.removeprefix("#") for tag in given]
    own = ("mcp", "memory", key.client, f"ns/{key.namespace}")
    return tuple(dict.fromkeys((*own, *(tag for tag in plain if not tag.casefold().startswith("ns/")))))
