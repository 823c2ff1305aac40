"""Notes, their tags, links and versions, and SQLite's full-text index with the triggers that keep it in step."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0001"
down_revision = None

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SEARCH = sa.Text().with_variant(TSVECTOR(), "postgresql")

FTS5 = (
    """
    CREATE VIRTUAL TABLE notes_text USING fts5(
        title, content, search, content='notes_note', content_rowid='seq',
        tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    "INSERT INTO notes_text (notes_text, rank) VALUES ('rank', 'bm25(4.0, 1.0, 0.5)')",
    """
    CREATE TRIGGER notes_text_added AFTER INSERT ON notes_note
    BEGIN
        INSERT INTO notes_text (rowid, title, content, search)
        VALUES (NEW.seq, NEW.title, NEW.content, NEW.search);
    END
    """,
    """
    CREATE TRIGGER notes_text_removed AFTER DELETE ON notes_note
    BEGIN
        INSERT INTO notes_text (notes_text, rowid, title, content, search)
        VALUES ('delete', OLD.seq, OLD.title, OLD.content, OLD.search);
    END
    """,
    """
    CREATE TRIGGER notes_text_changed AFTER UPDATE OF title, content, search ON notes_note
    BEGIN
        INSERT INTO notes_text (notes_text, rowid, title, content, search)
        VALUES ('delete', OLD.seq, OLD.title, OLD.content, OLD.search);
        INSERT INTO notes_text (rowid, title, content, search)
        VALUES (NEW.seq, NEW.title, NEW.content, NEW.search);
    END
    """,
)


def upgrade() -> None:
    op.create_table(
        "notes_note",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("title_key", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("search", SEARCH),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("importance", sa.Float(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("client", sa.String()),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("front_matter", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("last_referenced_at", UtcDateTime()),
        sa.Column("active_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("seq", name="pk_notes_note"),
        sa.UniqueConstraint("id", name="uq_notes_note_id"),
    )
    op.create_index("ix_notes_note_owner_seq", "notes_note", ["owner", "seq"])
    op.create_index("ix_notes_note_owner_title_key", "notes_note", ["owner", "title_key"])
    op.create_index("ix_notes_note_owner_active_at", "notes_note", ["owner", "active_at"])
    op.create_index("ix_notes_note_owner_namespace_active_at", "notes_note", ["owner", "namespace", "active_at"])
    op.create_index("ix_notes_note_deleted_at", "notes_note", ["deleted_at"])
    op.create_index(
        "ix_notes_note_search",
        "notes_note",
        ["search"],
        postgresql_using="gin",
        sqlite_where=sa.text("seq IS NULL"),
    )
    op.create_table(
        "notes_tag",
        sa.Column("note", SEQ, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("note", "key", "kind", name="pk_notes_tag"),
        sa.ForeignKeyConstraint(["note"], ["notes_note.seq"], name="fk_notes_tag_note", ondelete="CASCADE"),
    )
    op.create_index("ix_notes_tag_owner_key_note", "notes_tag", ["owner", "key", "note"])
    op.create_table(
        "notes_link",
        sa.Column("source", SEQ, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("target", SEQ),
        sa.PrimaryKeyConstraint("source", "kind", "key", name="pk_notes_link"),
        sa.ForeignKeyConstraint(["source"], ["notes_note.seq"], name="fk_notes_link_source", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["target"], ["notes_note.seq"], name="fk_notes_link_target", ondelete="SET NULL"),
    )
    op.create_index("ix_notes_link_owner_key", "notes_link", ["owner", "key"])
    op.create_index("ix_notes_link_target", "notes_link", ["target"])
    op.create_table(
        "notes_version",
        sa.Column("note", SEQ, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.Column("replaced_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("note", "version", name="pk_notes_version"),
        sa.ForeignKeyConstraint(["note"], ["notes_note.seq"], name="fk_notes_version_note", ondelete="CASCADE"),
    )
    op.create_index("ix_notes_version_replaced_at", "notes_version", ["replaced_at"])
    op.create_table(
        "notes_once",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("note", SEQ, autoincrement=False, nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "client", "key", name="pk_notes_once"),
        sa.ForeignKeyConstraint(["note"], ["notes_note.seq"], name="fk_notes_once_note", ondelete="CASCADE"),
    )
    op.create_index("ix_notes_once_made_at", "notes_once", ["made_at"])
    op.create_index("ix_notes_once_note", "notes_once", ["note"])
    if op.get_bind().dialect.name == "sqlite":
        for statement in FTS5:
            op.execute(statement)
