"""The database knows which node it belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "host_node", sa.Column("name", sa.String(), primary_key=True), sa.Column("value", sa.Text(), nullable=False)
    )
