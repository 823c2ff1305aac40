"""Notes that are to be written and changes that are to be made: checked and read, before any transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloudos_sdk.capabilities import NoteDraft

from cloudos_notes.text import validation
from cloudos_notes.text.normalization import first_line, folded, kebab, sorted_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNote:
    """A note that was checked and read and is ready to be stored."""

    draft: NoteDraft
    title: str
    content: validation.NoteContent
    given: list[str]
    system: list[str]
    folder: str = ""
    front_matter: str | None = None
    path: str | None = None
    archived: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A validated change of a note; fields that are None stay."""

    title: str | None = None
    content: validation.NoteContent | None = None
    given: list[str] | None = None
    importance: float | None = None
    archived: bool | None = None
    folder: str | None = None


async def ready(draft: NoteDraft, most: int, **beside: Any) -> NewNote:
    """Check and read a draft. Raises InvalidRequest."""
    content = await validation.read(draft.content, most)
    title = validation.title(draft.title) if draft.title is not None else first_line(draft.content)
    validation.importance(draft.importance)
    validation.name(draft.namespace, "namespace")
    if draft.client is not None:
        validation.name(draft.client, "client")
    given = validation.tags(draft.tags)
    system = [tag for tag in given if folded(tag) in _system_tags(draft)]
    if draft.source == "molly":
        system += ["molly", "memory", f"ns/{draft.namespace}"]
    return NewNote(draft=draft, title=title, content=content, given=given, system=sorted_tags(system), **beside)


def _system_tags(draft: NoteDraft) -> Collection[str]:
    """Return the origin tags of a note, which stay when its given tags are replaced."""
    if draft.source == "user":
        return ()
    client = [kebab(draft.client)] if draft.client else []
    return {folded(tag) for tag in ("mcp", "molly", "memory", f"ns/{draft.namespace}", *client)}
