"""Layouts and their versions."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "dashboard_layout",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "kind", name="pk_dashboard_layout"),
    )
    op.create_table(
        "dashboard_version",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("widgets", sa.Integer(), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "kind", "version", name="pk_dashboard_version"),
    )
