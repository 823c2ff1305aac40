"""Answers of routes: models as they are, long lists without a model for each row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator
from quart import Response

from cloudos_sdk.json_text import holds_nul


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, given: Any) -> Any:
        """Refuse the one character that no database can store in a text."""
        if holds_nul(given):
            raise ValueError("the text holds a NUL character")
        return given


class Body(_Given):
    """Base of request bodies: an unknown member is an error that names it, as is a NUL character."""


class Query(_Given):
    """Base of query strings: an unknown parameter is an error that names it, as is a NUL character."""


class Page(Query):
    """Query of a list that grows without bound: `limit` and an id to continue `before` or `after`."""

    limit: int = Field(default=50, ge=1, le=500)
    before: str | None = None
    after: str | None = None


class Problem(BaseModel):
    """An error: a machine code and a sentence for a person."""

    error: str
    message: str


def json_rows(rows: Sequence[Mapping[str, Any]], status: int = 200) -> Response:
    """Return plain rows as a JSON array, without a model for each."""
    return Response(orjson.dumps(rows), status, content_type="application/json")


def stream(chunks: AsyncIterator[bytes], content_type: str, *, live: bool = False) -> Response:
    """Return an answer of unknown length that may stay open: event streams, logs that are followed, exports.

    A live one has no end of its own, as every event stream; it is ended when the host stops, others are drained.
    """
    response = Response(chunks, content_type=content_type)
    response.live = live or content_type.startswith("text/event-stream")  # type: ignore[attr-defined] # for the host
    response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response
