"""Tables of the proxy plugin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field

Base: Any = model_base("proxy")


class Route(Base, table=True):
    """A route. `kind` is `custom`, `apex` or `app`; `options` is JSON, `secret_options` is encrypted JSON.

    `status` is `pending` until applied; `error` says why the last apply refused it. `by_admin`: an admin, or
    the node itself, saved it last.
    """

    __table_args__ = (UniqueConstraint("hostname", "path_prefix"),)

    id: str = Field(primary_key=True)
    kind: str
    hostname: str
    path_prefix: str = ""
    upstream_type: str
    upstream_id: str | None = None
    upstream_addr: str | None = None
    require_auth: bool
    options: str = Field(default="", sa_column=Column(Text, nullable=False))
    secret_options: str = Field(default="", sa_column=Column(Text, nullable=False))
    app_id: str | None = Field(default=None, unique=True)
    status: str
    error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    by_admin: bool = False


class Applied(Base, table=True):
    """A configuration that was applied: the routes as they were and Caddy's document, both packed and encrypted."""

    id: str = Field(primary_key=True)
    number: int = Field(unique=True)
    reason: str
    routes: int
    changed: int
    snapshot: str = Field(sa_column=Column(Text, nullable=False))
    document: str = Field(sa_column=Column(Text, nullable=False))
    digest: str
    actor: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class Domain(Base, table=True):
    """A hostname with its own certificate, and the app that it leads to unless a route says otherwise.

    `provider` is `acme`, `internal`, `uploaded` or `none`; `certificate` and `private_key` (encrypted) are uploaded
    ones; `serial` to `not_after` tell of the one in force; `error` is the last failure, `error_at` as Caddy dates it.
    """

    id: str = Field(primary_key=True)
    hostname: str = Field(unique=True)
    app_id: str | None = None
    provider: str
    challenge: str | None = None
    certificate: str | None = Field(default=None, sa_column=Column(Text))
    private_key: str | None = Field(default=None, sa_column=Column(Text))
    serial: str | None = None
    issuer: str | None = None
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)
    not_after: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error_code: str | None = None
    error: str | None = Field(default=None, sa_column=Column(Text))
    error_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Takeover(Base, table=True):
    """A web server that was stopped for the ports, and how to give them back: `how` is `unit` or `process`."""

    id: str = Field(primary_key=True)
    how: str
    name: str
    restart: str = Field(sa_column=Column(Text, nullable=False))
    taken_at: datetime = Field(sa_type=UtcDateTime)
