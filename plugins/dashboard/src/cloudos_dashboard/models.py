"""Tables: the layouts in force, and the versions that each of them had."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudos_sdk import UtcDateTime, model_base
from sqlalchemy import Column, Integer, Text
from sqlmodel import Field

Base: Any = model_base("dashboard")


class Layout(Base, table=True):
    """A user's layout of one kind, from the first save on."""

    user_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    version: int
    layout: str = Field(sa_column=Column(Text, nullable=False))
    saved_at: datetime = Field(sa_type=UtcDateTime)


class LayoutVersion(Base, table=True):
    """A layout as it was saved under a number, the one in force included."""

    __tablename__ = "dashboard_version"

    user_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    layout: str = Field(sa_column=Column(Text, nullable=False))
    widgets: int
    saved_at: datetime = Field(sa_type=UtcDateTime)
