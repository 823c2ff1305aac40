"""Keep with each app what it was allowed and which paths of the machine it has; the plugin's start fills them in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("apps_app", sa.Column("rights", sa.Text(), nullable=True))
    op.add_column("apps_app", sa.Column("mounts", sa.Text(), nullable=True))
