"""The file that an import made a note of, attachments, and how far imports are."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0003"
down_revision = "0002"

OF_A_FILE = sa.text("file_key IS NOT NULL")


def upgrade() -> None:
    op.add_column("notes_note", sa.Column("path", sa.Text()))
    op.add_column("notes_note", sa.Column("file_key", sa.String()))
    op.create_index(
        "ix_notes_note_owner_file_key",
        "notes_note",
        ["owner", "file_key"],
        sqlite_where=OF_A_FILE,
        postgresql_where=OF_A_FILE,
    )
    op.create_table(
        "notes_attachment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notes_attachment"),
        sa.UniqueConstraint("owner", "path", name="uq_notes_attachment_owner"),
    )
    op.create_index("ix_notes_attachment_digest", "notes_attachment", ["digest"])
    op.create_table(
        "notes_import",
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("stored_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_notes_import"),
    )
