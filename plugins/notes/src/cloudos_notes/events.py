"""The events of notes. They contain no text of notes, because readers of events are not the owners.

Their audience is admins, for whom the audit log has them anyway: an event cannot be shown to one person alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class NoteEvent(Event):
    """Something happened to a note."""

    owner: str
    namespace: str
    source: str


@dataclass(frozen=True, kw_only=True)
class NoteCreated(NoteEvent, type="note.created"):
    """A note was written."""


@dataclass(frozen=True, kw_only=True)
class NoteUpdated(NoteEvent, type="note.updated"):
    """A note was changed."""


@dataclass(frozen=True, kw_only=True)
class NoteDeleted(NoteEvent, type="note.deleted"):
    """A note was put into the trash, or removed for good."""

    for_good: bool


@dataclass(frozen=True, kw_only=True)
class NoteRestored(NoteEvent, type="note.restored"):
    """A note was taken out of the trash."""


@dataclass(frozen=True, kw_only=True)
class MemoryCreated(NoteEvent, type="memory.created"):
    """An AI client or the assistant remembered something."""

    client: str | None


@dataclass(frozen=True, kw_only=True)
class AttachmentEvent(Event):
    """Something happened to a file that was imported beside notes."""

    owner: str


@dataclass(frozen=True, kw_only=True)
class AttachmentImported(AttachmentEvent, type="attachment.imported"):
    """An import stored a file, new or with another content."""


@dataclass(frozen=True, kw_only=True)
class AttachmentDeleted(AttachmentEvent, type="attachment.deleted"):
    """A file was removed."""
