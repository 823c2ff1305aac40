"""The notes endpoints: a person's own notes; those of others are not there."""

from __future__ import annotations

from typing import Any

import orjson
from cloudos_sdk import InvalidRequest, licensed, principal, requires, use
from cloudos_sdk.capabilities import NoteChange, NoteDraft
from cloudos_sdk.http import answers, begun, json_rows, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_notes.schemas import (
    Counted,
    Graph,
    GraphQuery,
    Links,
    MetaBody,
    NewNoteBody,
    NoteChangeBody,
    NoteListed,
    NoteOut,
    NoteQuery,
    Removal,
    VersionListed,
    VersionOut,
)
from cloudos_notes.storage.store import Store
from cloudos_notes.storage.versions import Versions
from cloudos_notes.text.validation import folder
from cloudos_notes.views.filters import graph_filter, list_filter
from cloudos_notes.views.graph import GraphReader
from cloudos_notes.views.note_list import NoteList

routes = Blueprint("notes", __name__)


def _answer(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


def _owner() -> str:
    return principal().user_id


@routes.get("/api/notes")
@requires("notes:read")
@validate_querystring(NoteQuery)
@document_response(list[NoteListed])
async def list_notes(query_args: NoteQuery) -> Response:
    """List notes, newest first; with `q` the best full-text matches, with `trash=true` those in the trash."""
    wanted = list_filter(_owner(), query_args)
    if query_args.q is None:
        return json_rows(await use(NoteList).page(wanted, query_args.limit, query_args.before, query_args.after))
    if query_args.before is not None or query_args.after is not None:
        raise InvalidRequest.field("q", "a search has no order to go on in: leave out `before` and `after`")
    return json_rows(await use(NoteList).search(query_args.q, wanted, query_args.limit))


@routes.post("/api/notes")
@requires("notes:write")
@validate_request(NewNoteBody)
@document_response(NoteOut, 201)
async def create(data: NewNoteBody) -> Response:
    """Write a note; its inline `#tags` and `[[wikilinks]]` become tags and links."""
    draft = NoteDraft(
        content=data.content,
        title=data.title,
        tags=tuple(data.tags),
        importance=data.importance,
        namespace=data.namespace,
    )
    note = await use(Store).create(_owner(), draft, folder=folder(data.folder))
    return _answer(await use(NoteList).whole(note), 201)


@routes.get("/api/notes/graph")
@requires("notes:read")
@licensed("orbit_graph")
@validate_querystring(GraphQuery)
@document_response(Graph)
async def graph(query_args: GraphQuery) -> Response:
    """Return the notes that fit and the links among them."""
    return stream(await begun(use(GraphReader).read(graph_filter(_owner(), query_args))), "application/json")


@routes.get("/api/notes/folders")
@requires("notes:read")
@document_response(list[Counted])
async def folders() -> Response:
    """List the folders by name, with how many notes are in each itself."""
    return json_rows(await use(NoteList).folders(_owner()))


@routes.get("/api/notes/tags")
@requires("notes:read")
@document_response(list[Counted])
async def tags() -> Response:
    """List the tags, the most used first."""
    return json_rows(await use(NoteList).tags(_owner()))


@routes.get("/api/notes/<note_id>")
@requires("notes:read")
@document_response(NoteOut)
async def get_note(note_id: str) -> Response:
    """Return a note."""
    return _answer(await use(NoteList).one(_owner(), note_id))


@routes.put("/api/notes/<note_id>")
@requires("notes:write")
@validate_request(NoteChangeBody)
@document_response(NoteOut)
async def change(note_id: str, data: NoteChangeBody) -> Response:
    """Change the given fields of a note; links in other notes follow a new title."""
    wanted = NoteChange(
        title=data.title,
        content=data.content,
        tags=None if data.tags is None else tuple(data.tags),
        importance=data.importance,
        archived=data.archived,
    )
    place = None if data.folder is None else folder(data.folder)
    note = await use(Store).edit(_owner(), note_id, wanted, folder=place, version=data.version)
    return _answer(await use(NoteList).whole(note))


@routes.delete("/api/notes/<note_id>")
@requires("notes:write")
@validate_querystring(Removal)
@answers(204)
async def remove(note_id: str, query_args: Removal) -> Response:
    """Put a note into the trash, or with `permanent=true` remove it for good."""
    await use(Store).delete(_owner(), note_id, for_good=query_args.permanent)
    return Response(status=204)


@routes.post("/api/notes/<note_id>/restore")
@requires("notes:write")
@document_response(NoteOut)
async def restore(note_id: str) -> Response:
    """Take a note out of the trash."""
    return _answer(await use(NoteList).whole(await use(Store).restore(_owner(), note_id)))


@routes.patch("/api/notes/<note_id>/meta")
@requires("notes:write")
@validate_request(MetaBody)
@document_response(NoteOut)
async def meta(note_id: str, data: MetaBody) -> Response:
    """Set a note's importance, or archive it (which drops the importance to 0), or take it out of the archive."""
    change = NoteChange(importance=data.importance, archived=data.archived)
    return _answer(await use(NoteList).whole(await use(Store).edit(_owner(), note_id, change)))


@routes.get("/api/notes/<note_id>/links")
@requires("notes:read")
@document_response(Links)
async def links(note_id: str) -> Response:
    """Return the links of a note, those to it, and the titles it names that no note has."""
    return _answer(await use(NoteList).links(_owner(), note_id))


@routes.get("/api/notes/<note_id>/versions")
@requires("notes:read")
@document_response(list[VersionListed])
async def versions(note_id: str) -> Response:
    """List the earlier versions of a note, newest first."""
    return json_rows(await use(Versions).all(_owner(), note_id))


@routes.get("/api/notes/<note_id>/versions/<int:version>")
@requires("notes:read")
@document_response(VersionOut)
async def one_version(note_id: str, version: int) -> Response:
    """Return one version of a note."""
    return _answer(await use(Versions).one(_owner(), note_id, version))


@routes.post("/api/notes/<note_id>/versions/<int:version>/restore")
@requires("notes:write")
@document_response(NoteOut)
async def restore_version(note_id: str, version: int) -> Response:
    """Restore one version of a note; the current one is kept as a version."""
    return _answer(await use(NoteList).whole(await use(Versions).restore(_owner(), note_id, version)))
