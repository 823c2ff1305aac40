"""The bodies and answers of the endpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cloudos_sdk.http import Page, Query
from pydantic import AfterValidator, BaseModel, Field, model_validator


def _aware(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond all calendars") from None


Moment = Annotated[datetime, AfterValidator(_aware)]
"""A time in a query: ISO 8601; without an offset it is UTC."""


_TEXT = r"^[^\x00]*$"


class Filters(Query):
    """Which entries: all that are given must fit."""

    action: str | None = Field(
        default=None,
        pattern=r"^([^*\x00]+|[^*\x00]+\.\*|\*)$",
        description="An action such as app.installed, or all of an area: app.*",
    )
    actor: str | None = Field(default=None, pattern=_TEXT, description="Id or name of who did it")
    resource: str | None = Field(default=None, pattern=_TEXT, description="Id of what it was done to")
    since: Moment | None = Field(default=None, description="From this time on")
    until: Moment | None = Field(default=None, description="Up to, and without, this time")


class LogQuery(Filters, Page):
    """Filters and a page, newest first."""


class KeptPosition(Query):
    """A position kept elsewhere (from `audit.sealed`, syslog or an export): number and hash, or neither."""

    number: int | None = Field(default=None, ge=1, le=2**53, description="Number of an entry")
    hash: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="Its hash, as it was noted elsewhere")

    @model_validator(mode="after")
    def _both(self) -> KeptPosition:
        if (self.number is None) != (self.hash is None):
            raise ValueError("number and hash go together")
        return self


class ActorOut(BaseModel):
    """The actor of an entry."""

    kind: str
    id: str
    name: str


class EntryOut(BaseModel):
    """An entry of the audit log; `seq` is its place in the chain."""

    id: str
    action: str
    resource: str
    details: str
    ip_address: str | None
    timestamp: str = Field(description="UTC, whole seconds; of an entry that was altered, what stands there.")
    actor: ActorOut
    request_id: str | None
    seq: int


class Problem(BaseModel):
    """The first problem of the log; `seq` is the entry or checkpoint that shows it."""

    seq: int
    kind: str
    sentence: str


class Verification(BaseModel):
    """The outcome of a verification; `first` and `last` are the numbers of the oldest and the newest entry."""

    valid: bool
    entries: int
    first: int | None
    last: int | None
    problem: Problem | None = None
