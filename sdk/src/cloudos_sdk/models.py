"""Tables, ids and times for the models of plugins."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, PlainSerializer, WithJsonSchema
from sqlalchemy import DateTime, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import declared_attr, registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters, none of them easily taken for another
_LETTERS = bytes(ord(_ALPHABET[byte % 32]) for byte in range(256))

DERIVED = "derived"
"""`Column(…, info={DERIVED: True})`: `cloudos db move` leaves it NULL, and its plugin fills it after its next start."""

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_id(prefix: str) -> str:
    """Return a fresh id such as `app_4k2mw8…`: the prefix and 65 random bits, lower-case."""
    return f"{prefix}_{secrets.token_bytes(13).translate(_LETTERS).decode()}"


def iso(moment: datetime) -> str:
    """Return `2025-01-15T10:30:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


UtcTime = Annotated[
    datetime,
    PlainSerializer(iso, when_used="json", return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}, mode="serialization"
    ),
]
"""A time in an answer: UTC, ISO 8601, whole seconds, `Z`."""


class UtcDateTime(TypeDecorator[datetime]):
    """A column of aware UTC times, the same on SQLite and PostgreSQL."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC; refuse a naive time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime; use the clock of the context")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def model_base(plugin_id: str) -> Any:
    """Return the base class of a plugin's tables: its own metadata, naming convention and prefix.

    `class Peer(Base, table=True)` of plugin `vpn` is the table `vpn_peer`; set `__tablename__` for another
    name with the prefix `vpn_`.
    """
    prefix = plugin_id.replace("-", "_")

    class Base(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMING_CONVENTION))):
        __abstract__ = True
        # rows are not validated, so that most validators are never used
        model_config = ConfigDict(defer_build=True)  # type: ignore[assignment] # what SQLModel passes on to pydantic
        cloudos_prefix: ClassVar[str] = prefix

        @declared_attr.directive
        def __tablename__(cls) -> str:
            return f"{prefix}_{_snake(cls.__name__)}"

    return Base
