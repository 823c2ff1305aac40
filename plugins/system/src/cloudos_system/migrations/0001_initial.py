"""Series and their roll-ups."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "system_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_system_series"),
        sa.UniqueConstraint("metric", "labels", name="uq_system_series_metric_labels"),
    )
    op.create_table(
        "system_rollup",
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts", MOMENT, autoincrement=False, nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("step", "series", "ts", name="pk_system_rollup"),
        sqlite_with_rowid=False,
    )
