"""The configurations that were applied: the newest is the one to serve after a restart."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk import Context, NotFound, caller, iso, new_id
from sqlalchemy import delete, insert, select, update
from sqlmodel import Session

from cloudos_proxy.models import Applied
from cloudos_proxy.routes.model import Served, unpacked

TABLE = Applied.__table__
KEPT = 20
_LISTED = ("id", "reason", "routes", "changed", "actor", "created_at")


@dataclass(frozen=True)
class PackedDocument:
    """A configuration ready to be stored."""

    snapshot: str
    document: str
    digest: str
    routes: int


class ApplyHistory:
    """Stores and finds them. They hold keys and passwords' hashes, so they are encrypted."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def pack(self, served: Sequence[Served], document: bytes) -> PackedDocument:
        """Return them ready to be stored. Blocks for some ms; give it a thread."""
        snapshot = orjson.dumps([each.packed() for each in served])
        return PackedDocument(
            self._seal(snapshot), self._seal(document), hashlib.sha256(document).hexdigest(), len(served)
        )

    def add(self, session: Session, packed: PackedDocument, reason: str, changed: int) -> str:
        """Store a configuration as the newest and forget those beyond the last twenty; return its id."""
        id = new_id("apl")
        number = (session.execute(select(TABLE.c.number).order_by(TABLE.c.number.desc()).limit(1)).scalar() or 0) + 1
        values = {
            "id": id,
            "number": number,
            "reason": reason,
            "changed": changed,
            "actor": caller().actor().name,
            "created_at": self._ctx.clock.now(),
            **_columns(packed),
        }
        session.execute(insert(TABLE).values(values))
        session.execute(delete(TABLE).where(TABLE.c.number <= number - KEPT))
        return id

    def replace_newest(self, session: Session, packed: PackedDocument) -> bool:
        """Replace the newest entry by what is served now; return whether there was one."""
        newest = select(TABLE.c.number).order_by(TABLE.c.number.desc()).limit(1).scalar_subquery()
        done = session.connection().execute(update(TABLE).where(TABLE.c.number == newest).values(_columns(packed)))
        return bool(done.rowcount)

    async def newest(self) -> tuple[list[Served], bytes] | None:
        """Return the newest entry and its document; None if nothing was ever applied."""
        statement = select(TABLE.c.snapshot, TABLE.c.document).order_by(TABLE.c.number.desc()).limit(1)
        row = await self._ctx.db.read(lambda s: s.execute(statement).first())
        return None if row is None else (self._routes(row[0]), self._open(row[1]))

    async def get(self, id: str) -> list[Served]:
        """Return the routes of a configuration. Raises NotFound."""
        row = await self._ctx.db.read(lambda s: s.execute(select(TABLE.c.snapshot).where(TABLE.c.id == id)).first())
        if row is None:
            raise NotFound("applied configuration", id)
        return self._routes(row[0])

    async def listed(self) -> list[dict[str, Any]]:
        """Return them as the API shows them, newest first."""
        statement = select(*(TABLE.c[name] for name in _LISTED)).order_by(TABLE.c.number.desc())
        rows = await self._ctx.db.read(lambda s: s.execute(statement).mappings().all())
        return [
            {
                "id": row["id"],
                "reason": row["reason"],
                "routes": row["routes"],
                "changed": row["changed"],
                "applied_by": row["actor"],
                "current": place == 0,
                "created_at": iso(row["created_at"]),
            }
            for place, row in enumerate(rows)
        ]

    def _routes(self, snapshot: str) -> list[Served]:
        return [unpacked(each) for each in orjson.loads(self._open(snapshot))]

    def _seal(self, content: bytes) -> str:
        return self._ctx.secrets.encrypt(base64.b64encode(zlib.compress(content, 1)).decode())

    def _open(self, cipher: str) -> bytes:
        return zlib.decompress(base64.b64decode(self._ctx.secrets.decrypt(cipher)))


def _columns(packed: PackedDocument) -> dict[str, Any]:
    return {
        "snapshot": packed.snapshot,
        "document": packed.document,
        "digest": packed.digest,
        "routes": packed.routes,
    }
