"""Keep only the trash in the index of when notes were deleted: SQLite took it for a way to those that are not."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TRASHED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_notes_note_deleted_at", table_name="notes_note")
    op.create_index(
        "ix_notes_note_deleted_at", "notes_note", ["deleted_at"], sqlite_where=TRASHED, postgresql_where=TRASHED
    )
