"""The endpoints of template sources."""

from __future__ import annotations

from typing import Annotated, Literal

from cloudos_sdk import InvalidRequest, UtcTime, accepts, requires, use
from cloudos_sdk.http import Body, answers
from pydantic import BaseModel, Field, StringConstraints
from quart import Blueprint, Response
from quart_schema import document_response, validate_request, validate_response

from cloudos_apps.templates.formats.detect import LONGEST
from cloudos_apps.templates.sources.service import TemplateSources

source_routes = Blueprint("template_sources", __name__)


class NewSource(Body):
    """A source: the `url` of a catalogue, or the text of one as `content`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$")]
    url: str | None = Field(default=None, max_length=2000)
    content: str | None = Field(default=None, max_length=LONGEST)


class LeftOut(BaseModel):
    """A template that cannot be represented, and why."""

    name: str
    reason: str


class SourceOut(BaseModel):
    """A source: how many templates it has, how many it left out, and why it could not be fetched last time."""

    id: str
    name: str
    url: str | None
    format: Literal["portainer", "casaos", "cloudos"]
    templates: int
    skipped: int
    error: str | None
    fetched_at: UtcTime
    created_at: UtcTime


class SourceDetails(SourceOut):
    """A source with the entries that it skipped."""

    left_out: list[LeftOut]


@source_routes.get("/api/templates/sources")
@requires("apps:read")
@document_response(list[SourceOut])
async def list_sources() -> list[SourceOut]:
    """List the added catalogues."""
    return [SourceOut(**row) for row in await use(TemplateSources).listed()]


@source_routes.post("/api/templates/sources")
@requires("templates:write")
@accepts("application/json", max_body=LONGEST + 500_000)
@validate_request(NewSource)
@validate_response(SourceDetails, 201)
async def add_source(data: NewSource) -> tuple[SourceDetails, int]:
    """Add a catalog by URL or as text: Portainer's JSON, compose files with `x-casaos`, or our own templates."""
    if (data.url is None) == (data.content is None):
        raise InvalidRequest.field("url", "give either url or content")
    return SourceDetails(**await use(TemplateSources).add(data.name, data.url, data.content)), 201


@source_routes.get("/api/templates/sources/<source_id>")
@requires("apps:read")
@validate_response(SourceDetails)
async def get_source(source_id: str) -> SourceDetails:
    """Return a catalog with the entries that it skipped, and why."""
    return SourceDetails(**await use(TemplateSources).get(source_id))


@source_routes.post("/api/templates/sources/<source_id>/refresh")
@requires("templates:write")
@validate_response(SourceDetails)
async def refresh_source(source_id: str) -> SourceDetails:
    """Fetch a catalog again; if that fails, its templates stay and `error` says why."""
    return SourceDetails(**await use(TemplateSources).refresh(source_id))


@source_routes.delete("/api/templates/sources/<source_id>")
@requires("templates:write")
@answers(204)
async def remove_source(source_id: str) -> Response:
    """Remove a catalogue; apps made from its templates stay as they are."""
    await use(TemplateSources).remove(source_id)
    return Response(status=204)
