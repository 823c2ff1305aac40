"""The hash chain: hashes of entries, seals of head and checkpoints."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

GENESIS = "0" * 64
"""The hash before the first entry."""

COVERED = (
    "seq",
    "event_id",
    "time",
    "action",
    "actor_kind",
    "actor_id",
    "actor_name",
    "address",
    "resource",
    "details",
    "data",
    "request_id",
    "prev_hash",
)
"""The columns of an entry that its hash covers: all but the hash."""

Digest = Callable[[str], str]


def time_text(moment: datetime) -> str:
    """Return the time as it is hashed: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: Any) -> bytes:
    """Return canonical JSON: sorted keys, no spaces, UTF-8. Raises TypeError."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def entry_hash(entry: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an entry's covered columns; "" for values that no entry ever had."""
    try:
        return hashlib.sha256(canonical({name: entry[name] for name in COVERED})).hexdigest()
    except TypeError:
        return ""


@dataclass(frozen=True)
class Seal:
    """Makes and checks the MACs of head and checkpoints, with a key that lies outside the database."""

    digest: Digest

    def head(self, seq: int, hash: str, broken_at: int | None) -> str:
        """Return the MAC of a head."""
        return self._mac(["head", seq, hash, broken_at])

    def position(self, seq: int, hash: str) -> str:
        """Return the MAC of a position that is kept outside of the database."""
        return self._mac(["position", seq, hash])

    def checkpoint(self, row: Mapping[str, Any]) -> str:
        """Return the MAC of a checkpoint, which covers that of the one before; `time` is its text."""
        return self._mac(
            ["checkpoint", row["id"], row["time"], row["seq"], row["entry_hash"], row["removed"], row["prev_mac"]]
        )

    def holds(self, mac: Any, expected: str) -> bool:
        """Return whether `mac` is the expected one."""
        return isinstance(mac, str) and expected != "" and hmac.compare_digest(mac.encode(), expected.encode())

    def _mac(self, parts: list[Any]) -> str:
        try:
            return self.digest(canonical(parts).decode())
        except TypeError:
            return ""
