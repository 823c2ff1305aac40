"""Make the tables of vectors, of the queue of what is to be embedded, and of coverage by day."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0002"
down_revision = "0001"

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade():
    op.create_table(
        "memory_embedding",
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("importance", sa.Float(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("text_hash", sa.String(), nullable=False),
        sa.Column("pieces", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("note_id", name="pk_memory_embedding"),
    )
    op.create_index("ix_memory_embedding_owner_model", "memory_embedding", ["owner", "model"])
    op.create_table(
        "memory_embedding_queue",
        sa.Column("id", SEQ, autoincrement=True, nullable=False),
        sa.Column("note_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_memory_embedding_queue"),
        sa.UniqueConstraint("note_id", name="uq_memory_embedding_queue_note_id"),
    )
    op.create_index("ix_memory_embedding_queue_owner", "memory_embedding_queue", ["owner"])
    op.create_table(
        "memory_coverage",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("embedded", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", name="pk_memory_coverage"),
    )
