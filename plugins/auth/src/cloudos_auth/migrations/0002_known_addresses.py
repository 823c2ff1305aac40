"""The addresses at which users have signed in; those of the sessions that are open are known from the start."""

import sqlalchemy as sa
from alembic import op
from cloudos_sdk import UtcDateTime
from cloudos_sdk.addresses import address_share

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    known = op.create_table(
        "auth_known_address",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("share", sa.String(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "share", name="pk_auth_known_address"),
    )
    session = sa.table(
        "auth_session", sa.column("user_id"), sa.column("address"), sa.column("last_used_at", UtcDateTime())
    )
    query = sa.select(session.c.user_id, session.c.address, session.c.last_used_at)
    seen: dict = {}
    for user_id, address, at in op.get_bind().execute(query.where(session.c.address.is_not(None))):
        place = (user_id, address_share(address))
        seen[place] = max(at, seen.get(place, at))
    if seen:
        op.bulk_insert(known, [{"user_id": user, "share": share, "seen_at": at} for (user, share), at in seen.items()])
