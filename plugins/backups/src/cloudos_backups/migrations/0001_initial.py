"""Make the tables of targets, backups, apps, schedules and restores."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "backups_target",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("health", sa.String(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("checked_at", UtcDateTime()),
        sa.Column("recovery_due_at", UtcDateTime(), nullable=False),
        sa.Column("recovery_confirmed_at", UtcDateTime()),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backups_target"),
        sa.UniqueConstraint("name", name="uq_backups_target_name"),
    )
    op.create_table(
        "backups_backup",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("apps", sa.Text(), nullable=False),
        sa.Column("include_config", sa.Boolean(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("schedule_id", sa.String()),
        sa.Column("error", sa.Text()),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("added_bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.String()),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_backups_backup"),
    )
    op.create_index("ix_backups_backup_started_at_id", "backups_backup", ["started_at", "id"])
    op.create_index("ix_backups_backup_schedule_id", "backups_backup", ["schedule_id"])
    op.create_table(
        "backups_app",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last_backup_id", sa.String()),
        sa.Column("last_backup_at", UtcDateTime()),
        sa.Column("last_proved_at", UtcDateTime()),
        sa.Column("proof_tried_at", UtcDateTime()),
        sa.Column("proof_error", sa.Text()),
        sa.PrimaryKeyConstraint("app_id", name="pk_backups_app"),
    )
    op.create_table(
        "backups_schedule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("starts_at", UtcDateTime()),
        sa.Column("last_started_at", UtcDateTime()),
        sa.Column("last_succeeded_at", UtcDateTime()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("checked_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backups_schedule"),
    )
    op.create_table(
        "backups_restore",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("operation_id", sa.String(), nullable=False),
        sa.Column("backup_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("making", sa.String()),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("moves", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_backups_restore"),
    )
    op.create_index("ix_backups_restore_operation_id", "backups_restore", ["operation_id"])
