"""Tables: MCP keys, sync's namespaces and outbox, vectors and the embedding queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field

Base: Any = model_base("memory")

SEQ = BigInteger().with_variant(Integer(), "sqlite")


class Key(Base, table=True):
    """A bearer of one MCP client, hashed by bcrypt; `scopes` and `namespaces_read` are JSON lists.

    `key_prefix` is its beginning, by which the hash to compare with is found. `role` is its owner's, as it was told
    last; `suspended` is whether the owner was disabled. A revoked key stays, so that its use can be told apart.
    """

    __table_args__ = (
        Index("ix_memory_key_key_prefix", "key_prefix"),
        Index("ix_memory_key_user_id", "user_id"),
    )

    id: str = Field(primary_key=True)
    user_id: str
    name: str
    client_type: str
    namespace: str
    scopes: str = Field(sa_column=Column(Text, nullable=False))
    namespaces_read: str = Field(sa_column=Column(Text, nullable=False))
    key_prefix: str
    hash: str
    role: str
    suspended: bool
    expires_in_days: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SyncNamespace(Base, table=True):
    """A namespace that its owner opted in to replication; disabled, it keeps its cursor."""

    __table_args__ = (UniqueConstraint("user_id", "namespace"),)

    id: str = Field(primary_key=True)
    user_id: str
    namespace: str
    enabled: bool
    cursor: int = Field(sa_column=Column(SEQ, nullable=False))
    resync_requested_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_pushed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_pulled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class SyncOutbox(Base, table=True):
    """The newest change of a note that is yet to be replicated: one row for each note."""

    __table_args__ = (
        UniqueConstraint("user_id", "note_id"),
        Index("ix_memory_sync_outbox_user_id_namespace_seq", "user_id", "namespace", "seq"),
    )

    id: str = Field(primary_key=True)
    user_id: str
    namespace: str
    note_id: str
    change: str
    seq: int = Field(sa_column=Column(SEQ, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)


class Done(Base, table=True):
    """A write that an MCP client named by an idempotency key: asked for again, it is answered from here.

    `id` is a hash of whose it is and of the key, `fingerprint` one of the tool and its arguments.
    """

    __tablename__ = "memory_done"
    __table_args__ = (Index("ix_memory_done_created_at", "created_at"),)

    id: str = Field(primary_key=True)
    fingerprint: str
    result: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)


class Embedding(Base, table=True):
    """The vectors and filter attributes of a note, of which the index in memory is a copy.

    `vectors` are `pieces` rows as `vectors.pack` makes them, of `dimension`; `text_hash` is of the text that they
    are of; `tags` is a JSON list.
    """

    __table_args__ = (Index("ix_memory_embedding_owner_model", "owner", "model"),)

    note_id: str = Field(primary_key=True)
    owner: str
    namespace: str
    source: str
    client: str | None = None
    tags: str = Field(sa_column=Column(Text, nullable=False))
    importance: float
    archived: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    model: str
    dimension: int
    text_hash: str
    pieces: int
    vectors: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class EmbeddingQueue(Base, table=True):
    """A note that waits to be embedded, once. `round` grows when it is put in again while it is being worked on."""

    __table_args__ = (
        UniqueConstraint("note_id"),
        Index("ix_memory_embedding_queue_owner", "owner"),
    )

    id: int | None = Field(default=None, sa_column=Column(SEQ, primary_key=True, autoincrement=True))
    note_id: str
    owner: str
    forced: bool
    round: int
    attempts: int
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Coverage(Base, table=True):
    """How many notes an owner had on a day (UTC), and how many of them had vectors."""

    owner: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    total: int
    embedded: int
