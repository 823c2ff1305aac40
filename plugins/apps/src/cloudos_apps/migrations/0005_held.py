"""Keep with each app how a backup holds it, so that it goes on when the host died meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    op.add_column("apps_app", sa.Column("held", sa.String(), nullable=True))
