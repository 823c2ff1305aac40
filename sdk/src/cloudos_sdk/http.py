"""Answers of routes: models as they are, long lists without a model for each row."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema
from quart import Response, request

from cloudos_sdk.json_text import holds_nul

F = TypeVar("F", bound=Callable[..., Any])


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
    """Base of request bodies: an unknown member is an error that names it, as are a NUL character and a wrong type.

    A number is a number and true is true: `"5"` and `"yes"` are texts, unlike in a query, where all is text.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema, with its numbers and truth values as they are."""
        schema = handler(source)
        _be_exact(schema)
        return schema


def _be_exact(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema.setdefault("strict", True)
        for part in schema.values():
            _be_exact(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _be_exact(part)


class Query(_Given):
    """Base of query strings: an unknown parameter is an error that names it, as is a NUL character."""


class Page(Query):
    """Query of a list that grows without bound: `limit` and an id to continue `before` or `after`."""

    limit: int = Field(default=50, ge=1, le=500)
    before: str | None = None
    after: str | None = None


class FieldProblem(BaseModel):
    """One field that does not fit, by its place in the body or its name in the query."""

    model_config = ConfigDict(extra="allow")

    path: str
    message: str


class Problem(BaseModel):
    """An error: a code for programs, a message for people, and further members by code."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
    message: str = Field(min_length=1)
    fields: list[FieldProblem] = []
    """With `invalid_request`: what does not fit."""


class UpgradeNeeded(BaseModel):
    """The 402 answer: the feature that the plan lacks, and where to upgrade."""

    error: Literal["upgrade_required"]
    feature: str
    current_plan: str
    required_plan: str
    message: str
    upgrade_url: str


_ANSWERS = "__cloudos_answers__"


def answers(status: int, media_type: str | None = None) -> Callable[[F], F]:
    """Document an answer that has no model: one without a body, of another media type, or an error of its own.

    `document_response` and `validate_response` document those that have one. What every endpoint of its kind may
    answer needs no mark: the errors of the gate, 404 below an id, 409 to a change.
    """

    def decorate(view: F) -> F:
        setattr(view, _ANSWERS, (*answers_of(view), (status, media_type)))
        return view

    return decorate


def answers_of(view: Callable[..., Any]) -> tuple[tuple[int, str | None], ...]:
    """Return the marks of `answers` on a view function."""
    found: tuple[tuple[int, str | None], ...] = getattr(view, _ANSWERS, ())
    return found


def json_rows(rows: Sequence[Mapping[str, Any]], status: int = 200) -> Response:
    """Return plain rows as a JSON array, without a model for each."""
    return Response(orjson.dumps(rows), status, content_type="application/json")


async def begun(chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Await the first chunk, so that an earlier failure becomes an error answer; return an iterator over all chunks."""
    first = await anext(chunks, None)

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(chunks):
            if first is not None:
                yield first
            async for chunk in chunks:
                yield chunk

    return all_of_them()


def stream(chunks: AsyncIterator[bytes], content_type: str, *, live: bool = False) -> Response:
    """Return an answer of unknown length that may stay open: event streams, logs that are followed, exports.

    Each is judged before each chunk, and ends with its caller's rights. A live one has no end of its own, as every
    event stream; it is ended when the host stops, others are drained. What reads the database is
    `stream(await begun(chunks), …)`.
    """
    response = Response(chunks, content_type=content_type)
    response.live = True  # type: ignore[attr-defined] # for the host, which judges it
    request.drained = not (live or content_type.startswith("text/event-stream"))  # type: ignore[attr-defined] # for it too
    response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response
