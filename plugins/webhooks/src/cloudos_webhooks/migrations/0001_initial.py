"""Make the tables of the webhooks and their deliveries."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0001"
down_revision = None

SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "webhooks_webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failing_since", UtcDateTime()),
        sa.Column("delivered_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks_webhook"),
    )
    op.create_table(
        "webhooks_delivery",
        sa.Column("seq", SEQ, autoincrement=False, nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("settled_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_webhooks_delivery"),
        sa.UniqueConstraint("event_id", "webhook_id", name="uq_webhooks_delivery_event_id_webhook_id"),
    )
    op.create_index("ix_webhooks_delivery_webhook_id_seq", "webhooks_delivery", ["webhook_id", "seq"])
    op.create_index(
        "ix_webhooks_delivery_queue",
        "webhooks_delivery",
        ["webhook_id", "state", "seq"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )
