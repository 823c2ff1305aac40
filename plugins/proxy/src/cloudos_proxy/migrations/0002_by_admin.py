"""Remember whether a route was last saved by an admin: the node's own names lead where admins say."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("proxy_route", sa.Column("by_admin", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE proxy_route SET by_admin = (1 = 1) WHERE kind = 'apex' AND upstream_type = 'ui'")
