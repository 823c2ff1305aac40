"""Tables: the series that there are, and their readings rolled up by minute, hour and day."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import model_base
from sqlalchemy import BigInteger, Column, Double, Integer, Text, UniqueConstraint
from sqlmodel import Field

Base: Any = model_base("system")

MOMENT = BigInteger().with_variant(Integer(), "sqlite")


class SeriesRow(Base, table=True):
    """A series that was measured once: the metric's name and its labels as JSON with sorted names."""

    __tablename__ = "system_series"
    __table_args__ = (UniqueConstraint("metric", "labels"),)

    id: int | None = Field(default=None, primary_key=True)
    metric: str = Field(sa_column=Column(Text, nullable=False))
    labels: str = Field(sa_column=Column(Text, nullable=False))


class Rollup(Base, table=True):
    """The readings of a series in one bucket of `step` seconds from `ts` (seconds since 1970) on."""

    __table_args__ = {"sqlite_with_rowid": False}

    step: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    series: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    ts: int = Field(sa_column=Column(MOMENT, primary_key=True, autoincrement=False))
    low: float = Field(sa_column=Column(Double, nullable=False))
    high: float = Field(sa_column=Column(Double, nullable=False))
    mean: float = Field(sa_column=Column(Double, nullable=False))
    n: int = Field(sa_column=Column(Integer, nullable=False))
