"""Tables of the apps plugin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import Column, Text
from sqlmodel import Field

Base: Any = model_base("apps")


class App(Base, table=True):
    """An installed app. `intended` is `running` or `stopped`; `generation` names the set of containers in force.

    `template_json` is the template as it was when installed, `config` its settings, encrypted, `ports` the machine's
    port of each port's name and `volumes` the names of its volumes, both as JSON. `rights` are those that a person has
    allowed, `mounts` the paths of the machine that it has, or may have after a change in hand; both as JSON, and None
    in a row of before there were such, until the plugin starts. `source` says where the template came from, likewise.
    `held` is how a backup or a restore holds it: `pause` and `stop` end with the host, `close` when it is let go, and
    `trial` never.
    """

    __tablename__ = "apps_app"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    template: str
    version: str
    status: str
    intended: str
    generation: int
    template_json: str = Field(sa_column=Column(Text, nullable=False))
    config: str = Field(sa_column=Column(Text, nullable=False))
    ports: str = Field(sa_column=Column(Text, nullable=False))
    volumes: str = Field(sa_column=Column(Text, nullable=False))
    rights: str | None = Field(default=None, sa_column=Column(Text))
    mounts: str | None = Field(default=None, sa_column=Column(Text))
    source: str | None = Field(default=None, sa_column=Column(Text))
    held: str | None = None
    addr: str | None = None
    error: str | None = Field(default=None, sa_column=Column(Text))
    operation_id: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TemplateSource(Base, table=True):
    """An added catalogue: its text as it was fetched last, its URL encrypted, since there may be a password in it."""

    __tablename__ = "apps_template_source"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    url: str | None = Field(default=None, sa_column=Column(Text))
    format: str
    content: str = Field(sa_column=Column(Text, nullable=False))
    etag: str | None = None
    error: str | None = Field(default=None, sa_column=Column(Text))
    fetched_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
