"""Make the tables of keys, of cross-node sync and of named writes."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0001"
down_revision = None

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade():
    op.create_table(
        "memory_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("client_type", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("namespaces_read", sa.Text(), nullable=False),
        sa.Column("key_prefix", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("expires_in_days", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_memory_key"),
    )
    op.create_index("ix_memory_key_key_prefix", "memory_key", ["key_prefix"])
    op.create_index("ix_memory_key_user_id", "memory_key", ["user_id"])
    op.create_table(
        "memory_sync_namespace",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("cursor", SEQ, nullable=False),
        sa.Column("resync_requested_at", UtcDateTime(), nullable=True),
        sa.Column("last_pushed_at", UtcDateTime(), nullable=True),
        sa.Column("last_pulled_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memory_sync_namespace"),
        sa.UniqueConstraint("user_id", "namespace", name="uq_memory_sync_namespace_user_id_namespace"),
    )
    op.create_table(
        "memory_sync_outbox",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("change", sa.String(), nullable=False),
        sa.Column("seq", SEQ, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memory_sync_outbox"),
        sa.UniqueConstraint("user_id", "note_id", name="uq_memory_sync_outbox_user_id_note_id"),
    )
    op.create_index(
        "ix_memory_sync_outbox_user_id_namespace_seq", "memory_sync_outbox", ["user_id", "namespace", "seq"]
    )
    op.create_table(
        "memory_done",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memory_done"),
    )
    op.create_index("ix_memory_done_created_at", "memory_done", ["created_at"])
