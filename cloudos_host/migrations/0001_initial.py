"""The host's first tables."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk.models import UtcDateTime

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "host_event",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("address", sa.String()),
        sa.Column("request_id", sa.String()),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_host_event"),
        sa.UniqueConstraint("id", name="uq_host_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_host_event_time", "host_event", ["time"])
    op.create_table(
        "host_event_cursor",
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("seq", _SEQ, nullable=False),
        sa.PrimaryKeyConstraint("reader", name="pk_host_event_cursor"),
    )
    op.create_table(
        "host_event_set_aside",
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("seq", _SEQ, autoincrement=False, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "seq", name="pk_host_event_set_aside"),
    )
    op.create_table(
        "host_operation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("plugin", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.String(), nullable=False),
        sa.Column("address", sa.String()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("finished_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_host_operation"),
    )
    for column in ("plugin", "resource", "state"):
        op.create_index(f"ix_host_operation_{column}", "host_operation", [column])
    op.create_table(
        "host_job_run",
        sa.Column("id", _SEQ, autoincrement=True, nullable=False),
        sa.Column("plugin", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_host_job_run"),
    )
    op.create_index("ix_host_job_run_started_at", "host_job_run", ["started_at"])
