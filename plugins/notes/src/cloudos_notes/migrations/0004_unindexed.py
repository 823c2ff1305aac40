"""Find the notes that are not indexed yet, as after a move to another kind of database, without reading the others."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

UNINDEXED = sa.text("search IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_notes_note_unindexed", "notes_note", ["seq"], sqlite_where=UNINDEXED, postgresql_where=UNINDEXED
    )
