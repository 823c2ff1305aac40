"""Which key, data folder and database belong together; each knows it of the others, and a start compares."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path

from cloudos_sdk import new_id
from sqlalchemy import Engine, insert, inspect, select

from cloudos_host.data.encryption import KEY_BYTES
from cloudos_host.data.file_modes import write_private
from cloudos_host.data.models import NodeFact

_FACT = NodeFact.__table__
_HOST_TABLES = "host_alembic_version"


@dataclass(frozen=True)
class NodeIdentity:
    """A node's id and the fingerprint of its key, from which the key cannot be had."""

    id: str
    key: str


@dataclass(frozen=True)
class NodeFacts:
    """The facts of a start: the key, what folder and database note of the node, and whether each was used."""

    key: bytes | None
    noted: NodeIdentity | None
    stored: NodeIdentity | None
    has_tables: bool
    was_used: bool

    @property
    def complete(self) -> bool:
        """Whether folder and database know of each other."""
        return self.noted is not None and self.noted == self.stored

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever here."""
        return self.noted is None and self.stored is None and not self.has_tables and not self.was_used

    def contradiction(self, folder: Path, place: str) -> str | None:
        """Return one line on what does not belong together and what to do; None if all agree."""
        anew = "to begin a new node, use an empty data folder and an empty database"
        if self.key is None:
            if self.is_new:
                return None
            return (
                f"{folder}/host.key is missing, and the secrets of this node are encrypted with it; "
                f"put back your copy of it, or {anew}"
            )
        if len(self.key) != KEY_BYTES:
            return (
                f"{folder}/host.key has {len(self.key)} bytes and not {KEY_BYTES}; put back your copy of it, or {anew}"
            )
        mine = fingerprint(self.key)
        if self.noted is not None and self.noted.key != mine:
            return (
                f"{folder}/host.key is not the key of the node {self.noted.id}, whose folder this is; "
                f"put back your copy of it, or {anew}"
            )
        if not self.has_tables and (self.noted is not None or self.was_used):
            return (
                f"the database {place} is empty, but {folder} is of a node that was in use; restore the database "
                f"(a backup, or the newest of {folder}/snapshots), bring it here from where it is "
                f"(`cloudos db move`, with the settings of before), or {anew}"
            )
        if self.stored is not None and (
            self.stored.key != mine or (self.noted is not None and self.noted.id != self.stored.id)
        ):
            whose = f" of the node {self.noted.id}" if self.noted is not None else ""
            return (
                f"the database {place} is of the node {self.stored.id}, and {folder} with its host.key{whose} is not; "
                f"put back the folder and host.key of {self.stored.id}, or the database of this folder"
            )
        return None


def fingerprint(key: bytes) -> str:
    """Return the fingerprint of a key."""
    return hmac.new(key, b"cloudos:node", hashlib.sha256).hexdigest()[:32]


def look(folder: Path, engine: Engine | None) -> NodeFacts:
    """Read the facts of a folder and its database, without changes; `engine` is None if there is no database yet."""
    try:
        key: bytes | None = (folder / "host.key").read_bytes()
    except FileNotFoundError:
        key = None
    stored, has_tables = None, False
    if engine is not None:
        with engine.connect() as connection:
            tables = inspect(connection)
            has_tables = tables.has_table(_HOST_TABLES)
            if tables.has_table(_FACT.name):
                facts: dict[str, str] = {row.name: row.value for row in connection.execute(select(_FACT))}
                stored = NodeIdentity(facts["id"], facts["key"]) if "id" in facts else None
    return NodeFacts(key, _noted(folder), stored, has_tables, _was_used(folder))


def remember(folder: Path, engine: Engine, key: bytes) -> None:
    """Store the identity of the node in the database, then in the folder, where it is missing."""
    facts = look(folder, engine)
    known = facts.stored or facts.noted or NodeIdentity(new_id("node"), fingerprint(key))
    if facts.stored is None:
        with engine.begin() as connection:
            rows = [{"name": "id", "value": known.id}, {"name": "key", "value": known.key}]
            connection.execute(insert(_FACT), rows)
    if facts.noted != known:
        write_private(folder / "node.json", json.dumps({"id": known.id, "key": known.key}).encode())


def _noted(folder: Path) -> NodeIdentity | None:
    try:
        noted = json.loads((folder / "node.json").read_bytes())
        return NodeIdentity(str(noted["id"]), str(noted["key"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # garbled it says nothing; the database does
        return None


def _was_used(folder: Path) -> bool:
    """Return whether a start was completed in this folder; folders of earlier versions note nothing else."""
    try:
        versions = json.loads((folder / "boot.json").read_bytes())["versions"]
        return isinstance(versions, dict) and bool(versions)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
