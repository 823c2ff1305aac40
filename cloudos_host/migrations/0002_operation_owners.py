"""Long work has an owner, and says who may see it; that of apps was everybody's from the start."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("host_operation") as table:
        table.add_column(sa.Column("owner", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("audience", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_host_operation_owner", "host_operation", ["owner"])
    row = sa.table(
        "host_operation", *(sa.column(name) for name in ("plugin", "actor_kind", "actor_id", "owner", "audience"))
    )
    op.execute(row.update().where(row.c.actor_kind == "user").values(owner=row.c.actor_id))
    op.execute(row.update().where(row.c.plugin == "apps").values(audience="apps:read"))
