"""The four resources: recent memories, tags, a note, a namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from cloudos_sdk.capabilities import NoteFilter
from cloudos_sdk.capabilities.mcp import McpCall, McpResource

from cloudos_memory.tools.read import ReadTools
from cloudos_memory.tools.schemas import note_out
from cloudos_memory.tools.scope import ALL, KeyScope

_RECENT = 20
_OF_NAMESPACE = 100


class Resources:
    """Reads memories by URI."""

    def __init__(self, reach: KeyScope, reading: ReadTools) -> None:
        self._reach = reach
        self._reading = reading

    def resources(self) -> tuple[McpResource, ...]:
        """Return the resources."""
        return (
            McpResource(
                uri="memory://recent",
                name="recent",
                title="Recent memories",
                description="The memories of the key's namespace that were written or referenced last",
                read=self.recent,
            ),
            McpResource(
                uri="memory://tags",
                name="tags",
                title="Tags",
                description="The tags of the key's namespace, with how many memories have them",
                read=self.tags,
            ),
            McpResource(
                uri="memory://note/{id}",
                name="note",
                title="A memory",
                description="One memory as Markdown",
                mime_type="text/markdown",
                read=self.note,
                complete={"id": self.complete_id},
            ),
            McpResource(
                uri="memory://namespace/{namespace}",
                name="namespace",
                title="A namespace",
                description="The newest memories of a namespace that the key reads",
                read=self.namespace,
                complete={"namespace": self.complete_namespace},
            ),
        )

    async def recent(self, call: McpCall, values: Mapping[str, str]) -> str:
        """Return the newest memories."""
        return await self._newest(self._reach.namespaces(None), _RECENT)

    async def tags(self, call: McpCall, values: Mapping[str, str]) -> str:
        """Return the tags."""
        counted = await self._reading.counted_tags(None)
        return orjson.dumps({"tags": [{"name": name, "count": count} for name, count in counted]}).decode()

    async def note(self, call: McpCall, values: Mapping[str, str]) -> str:
        """Return a memory as Markdown under its title."""
        note = await self._reach.find(values["id"])
        await self._reach.store.touch([note.id])
        tags = " ".join(f"#{tag}" for tag in note.tags)
        return f"# {note.title}\n\n{note.content}\n\n{tags}\n"

    async def namespace(self, call: McpCall, values: Mapping[str, str]) -> str:
        """Return the newest memories of a namespace."""
        return await self._newest(self._reach.namespaces(values["namespace"]), _OF_NAMESPACE)

    async def complete_id(self, call: McpCall, typed: str) -> Sequence[str]:
        """Return the ids of the newest memories."""
        wanted = NoteFilter(owner=self._reach.key().user_id, namespaces=self._reach.namespaces(ALL))
        notes = await self._reach.store.recent(wanted, 200)
        begun = typed.casefold()
        return [n.id for n in notes if n.id.startswith(typed) or n.title.casefold().startswith(begun)]

    async def complete_namespace(self, call: McpCall, typed: str) -> Sequence[str]:
        """Return the namespaces that the key reads."""
        return [name for name in self._reach.key().readable if name.startswith(typed)]

    async def complete_tag(self, call: McpCall, typed: str) -> Sequence[str]:
        """Return tags of the key's namespace, the commonest first."""
        return [name for name, _ in await self._reading.counted_tags(None, typed.removeprefix("#"))]

    async def _newest(self, namespaces: tuple[str, ...], limit: int) -> str:
        wanted = NoteFilter(owner=self._reach.key().user_id, namespaces=namespaces)
        notes = await self._reach.store.recent(wanted, limit)
        return orjson.dumps({"memories": [note_out(note) for note in notes]}).decode()
