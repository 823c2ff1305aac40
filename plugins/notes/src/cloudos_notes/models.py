"""Tables of the notes plugin. Their rows are read and written by core statements, since there may be very many.

The full-text index of SQLite (`notes_text`, FTS5) is made by the migration and kept in step by triggers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from cloudos_sdk.models import DERIVED
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field

Base: Any = model_base("notes")

SEQ = BigInteger().with_variant(Integer(), "sqlite")
_TRASHED = text("deleted_at IS NOT NULL")
_OF_A_FILE = text("file_key IS NOT NULL")
_UNINDEXED = text("search IS NULL")
SEARCH = Text().with_variant(TSVECTOR(), "postgresql")


def _note(name: str, *, primary_key: bool = False, nullable: bool = False, ondelete: str = "CASCADE") -> Any:
    key = ForeignKey("notes_note.seq", ondelete=ondelete)
    return Column(name, SEQ, key, primary_key=primary_key, nullable=nullable, autoincrement=False)


class Note(Base, table=True):
    """A note as it is now.

    `title_key` is the title as links name it; `tags` all tags as a JSON list, as `notes_tag` has them one by one;
    `search` on PostgreSQL the words as a tsvector, on SQLite those words that the tokenizer would not find by itself;
    `active_at` when it was last written or referenced; `front_matter` the YAML that an import found above it; `path` is
    the file that an import made it of, `file_key` that file's name as links name it.
    """

    __tablename__ = "notes_note"
    __table_args__ = (
        Index("ix_notes_note_owner_seq", "owner", "seq"),
        Index("ix_notes_note_owner_title_key", "owner", "title_key"),
        Index(
            "ix_notes_note_owner_file_key",
            "owner",
            "file_key",
            sqlite_where=_OF_A_FILE,
            postgresql_where=_OF_A_FILE,
        ),
        Index("ix_notes_note_owner_active_at", "owner", "active_at"),
        Index("ix_notes_note_owner_namespace_active_at", "owner", "namespace", "active_at"),
        Index("ix_notes_note_deleted_at", "deleted_at", sqlite_where=_TRASHED, postgresql_where=_TRASHED),
        Index("ix_notes_note_unindexed", "seq", sqlite_where=_UNINDEXED, postgresql_where=_UNINDEXED),
        # the condition keeps the index empty on SQLite, where FTS5 is in its place
        Index("ix_notes_note_search", "search", postgresql_using="gin", sqlite_where=text("seq IS NULL")),
    )

    seq: int | None = Field(default=None, sa_column=Column(SEQ, primary_key=True, autoincrement=True))
    id: str = Field(unique=True)
    owner: str
    title: str
    title_key: str
    content: str = Field(sa_column=Column(Text, nullable=False))
    search: str | None = Field(default=None, sa_column=Column(SEARCH, info={DERIVED: True}))
    tags: str = Field(sa_column=Column(Text, nullable=False))
    importance: float
    archived: bool
    source: str
    namespace: str
    client: str | None = None
    folder: str
    front_matter: str | None = Field(default=None, sa_column=Column(Text))
    path: str | None = Field(default=None, sa_column=Column(Text))
    file_key: str | None = None
    version: int
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    last_referenced_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    active_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Tag(Base, table=True):
    """A tag of a note: `kind` is given, inline or system; `key` is the tag whatever its case."""

    __tablename__ = "notes_tag"
    __table_args__ = (Index("ix_notes_tag_owner_key_note", "owner", "key", "note"),)

    note: int = Field(sa_column=_note("note", primary_key=True))
    key: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    owner: str
    tag: str


class Link(Base, table=True):
    """A link of a note; a `text` link names a title by its key, and has a target while that note exists.

    A `manual` one has its target's id as its key. `namespace` is the source's, which a title is first looked for in.
    """

    __tablename__ = "notes_link"
    __table_args__ = (
        Index("ix_notes_link_owner_key", "owner", "key"),
        Index("ix_notes_link_target", "target"),
    )

    source: int = Field(sa_column=_note("source", primary_key=True))
    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    owner: str
    namespace: str
    title: str
    target: int | None = Field(default=None, sa_column=_note("target", nullable=True, ondelete="SET NULL"))


class VersionRow(Base, table=True):
    """An earlier version of a note, stored at a change of its text, title, tags or folder."""

    __tablename__ = "notes_version"
    __table_args__ = (Index("ix_notes_version_replaced_at", "replaced_at"),)

    note: int = Field(sa_column=_note("note", primary_key=True))
    version: int = Field(sa_column=Column("version", Integer, primary_key=True, autoincrement=False))
    title: str
    content: str = Field(sa_column=Column(Text, nullable=False))
    tags: str = Field(sa_column=Column(Text, nullable=False))
    folder: str
    written_at: datetime = Field(sa_type=UtcDateTime)
    replaced_at: datetime = Field(sa_type=UtcDateTime)


class IdempotencyRow(Base, table=True):
    """The note that a create with an idempotency key made."""

    __tablename__ = "notes_once"
    __table_args__ = (Index("ix_notes_once_made_at", "made_at"), Index("ix_notes_once_note", "note"))

    owner: str = Field(primary_key=True)
    client: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    note: int = Field(sa_column=_note("note"))
    made_at: datetime = Field(sa_type=UtcDateTime)


class Attachment(Base, table=True):
    """A file of an archive that is no note; its bytes are in a file that is named by their SHA-256."""

    __tablename__ = "notes_attachment"
    __table_args__ = (
        UniqueConstraint("owner", "path", name="uq_notes_attachment_owner"),
        Index("ix_notes_attachment_digest", "digest"),
    )

    id: str = Field(primary_key=True)
    owner: str
    path: str = Field(sa_column=Column(Text, nullable=False))
    digest: str
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    modified_at: datetime = Field(sa_type=UtcDateTime)


class ImportRow(Base, table=True):
    """The progress of an import: processed entries and their outcomes."""

    __tablename__ = "notes_import"

    file: str = Field(primary_key=True)
    done: int
    outcome: str = Field(sa_column=Column(Text, nullable=False))
    stored_at: datetime = Field(sa_type=UtcDateTime)
