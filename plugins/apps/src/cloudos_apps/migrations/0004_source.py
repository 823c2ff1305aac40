"""Keep with each app where its template came from; the plugin's start fills it in."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.add_column("apps_app", sa.Column("source", sa.Text(), nullable=True))
