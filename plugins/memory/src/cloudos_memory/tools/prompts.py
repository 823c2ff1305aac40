"""The three prompts: bring context to mind, save a session, look back on a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from cloudos_sdk import Context, InvalidRequest
from cloudos_sdk.capabilities import Note, NoteFilter
from cloudos_sdk.capabilities.mcp import McpArgument, McpCall, McpPrompt

from cloudos_memory.tools.read import ReadTools
from cloudos_memory.tools.resources import Resources
from cloudos_memory.tools.scope import KeyScope

_RECALLED = 8
_REVIEWED = 100
_SHOWN = 2000
Messages = Sequence[Mapping[str, Any]]


class Prompts:
    """Builds prompts from memories."""

    def __init__(self, ctx: Context, reach: KeyScope, reading: ReadTools, resources: Resources) -> None:
        self._ctx = ctx
        self._reach = reach
        self._reading = reading
        self._complete = resources

    def prompts(self) -> tuple[McpPrompt, ...]:
        """Return the prompts."""
        namespace = McpArgument(
            name="namespace",
            description="Namespace to look into; the key's own without it",
            complete=self._complete.complete_namespace,
        )
        tag = McpArgument(name="tag", description="Only memories with this tag", complete=self._complete.complete_tag)
        return (
            McpPrompt(
                name="recall_context",
                title="Bring context to mind",
                description="Put what is remembered about a topic before a conversation",
                arguments=(McpArgument(name="topic", description="What it is about", required=True), namespace, tag),
                get=self.recall_context,
            ),
            McpPrompt(
                name="save_session",
                title="Save this session",
                description="Have the model write what this conversation came to into the memory",
                arguments=(
                    McpArgument(name="title", description="Title of the memory"),
                    McpArgument(name="focus", description="What matters most of it"),
                    tag,
                ),
                get=self.save_session,
                scope="write_memory",
            ),
            McpPrompt(
                name="weekly_review",
                title="Weekly review",
                description="Look back on the memories of the last seven days",
                arguments=(
                    McpArgument(name="days", description="Days to look back, 1 to 90; 7 without it"),
                    namespace,
                    tag,
                ),
                get=self.weekly_review,
            ),
        )

    async def recall_context(self, call: McpCall, arguments: Mapping[str, str]) -> Messages:
        """Return the memories that a topic brings to mind."""
        topic = arguments["topic"]
        found = await self._reading.found(topic, self._filter(arguments), _RECALLED)
        notes = await self._reach.store.get_many(self._reach.key().user_id, [hit["id"] for hit in found])
        await self._reach.store.touch(list(notes))
        remembered = [notes[hit["id"]] for hit in found if hit["id"] in notes]
        if not remembered:
            return [_user(f"Nothing is remembered about {topic!r}. Say so before you answer about it.")]
        return [
            _user(f"This is what is remembered about {topic!r}. Use it; name the memories that you rely on."),
            *[_user(_shown(note)) for note in remembered],
        ]

    async def save_session(self, call: McpCall, arguments: Mapping[str, str]) -> Messages:
        """Return how to save a conversation."""
        title = (
            f" titled {arguments['title']!r}" if arguments.get("title") else " with a title that will be found again"
        )
        focus = f" Above all: {arguments['focus']}." if arguments.get("focus") else ""
        tag = f" Tag it #{arguments['tag'].removeprefix('#')}." if arguments.get("tag") else ""
        return [
            _user(
                f"Look back on our conversation. Call memory_search for what is remembered of it already, then"
                f" memory_update or memory_create one memory{title}: decisions and their reasons, facts, open"
                f" questions, next steps, in Markdown, each on a line.{focus}{tag} Link related memories by"
                " [[Title]]. Then say in one sentence what you saved."
            )
        ]

    async def weekly_review(self, call: McpCall, arguments: Mapping[str, str]) -> Messages:
        """Return the memories of the last days."""
        given = arguments.get("days") or "7"
        if not (given.isascii() and given.isdigit() and 1 <= int(given[:4]) <= 90):
            raise InvalidRequest("days: a number from 1 to 90")
        since = self._ctx.clock.now() - timedelta(days=int(given))
        notes = await self._reach.store.recent(self._filter(arguments, since=since), _REVIEWED)
        if not notes:
            return [_user(f"Nothing was written in the last {given} days.")]
        lines = "\n".join(f"- {n.created_at:%Y-%m-%d} [[{n.title}]] ({n.id}) {_tags(n)}" for n in notes)
        return [
            _user(
                f"These memories are of the last {given} days:\n\n{lines}\n\nReview them: what was done, what was"
                " decided, what is open, what belongs together. Read with memory_get what you need. Propose links and"
                " memories to merge or archive, and ask before you change any."
            )
        ]

    def _filter(self, arguments: Mapping[str, str], since: Any = None) -> NoteFilter:
        tag = arguments.get("tag", "").removeprefix("#")
        return NoteFilter(
            owner=self._reach.key().user_id,
            namespaces=self._reach.namespaces(arguments.get("namespace") or None),
            tags=(tag,) if tag else (),
            since=since,
        )


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": {"type": "text", "text": text}}


def _tags(note: Note) -> str:
    return " ".join(f"#{tag}" for tag in note.tags)


def _shown(note: Note) -> str:
    cut = "…" if len(note.content) > _SHOWN else ""
    return f"# {note.title} ({note.id}) {_tags(note)}\n\n{note.content[:_SHOWN]}{cut}"
