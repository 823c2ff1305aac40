"""The page at every path that nothing else owns, its files, and what the plugins bring."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from cloudos_sdk import NotFound, Unavailable, principal, public, signed_in, use
from cloudos_sdk.http import Query, answers
from pydantic import BaseModel
from quart import Blueprint, Response, request
from quart_schema import document_response, validate_querystring

from cloudos_ui.contributions import Contributions
from cloudos_ui.shell import Shell, content_type_of

routes = Blueprint("ui", __name__)

_OWN = ("/", "/search", "/account")
"""Paths of the shell's own pages."""


class ContributionsOut(BaseModel):
    """What the caller's menu, home and pages are made of."""

    api: int
    permissions: list[str]
    pages: list[dict[str, Any]]
    widgets: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    locales: dict[str, list[str]]


class DeclaredQuery(Query):
    """Which page, by its path, or widget, by its id."""

    plugin: str
    name: str


@routes.get("/")
@public
@answers(200, "text/html")
@answers(404)
async def page() -> Response:
    """Return the page of the interface; a path that no page has is 404, and JSON unless a browser asks."""
    path = request.path.rstrip("/") or "/"
    known = path in _OWN or use(Contributions).is_page(path)
    browser = "text/html" in request.headers.get("Accept", "")
    if not known and not browser:
        raise NotFound("page", path, code="not_found", message="There is nothing at this path.")
    shell = use(Shell)
    if not shell.built:
        raise Unavailable(
            "The web interface is not built; run `make ui` and start the node again.", code="ui_not_built"
        )
    response = _guarded(Response(shell.page, content_type="text/html; charset=utf-8"))
    response.status_code = 200 if known else 404
    response.headers["Cache-Control"] = "no-cache"
    return response


@routes.get("/ui/assets/<name>")
@public
@answers(200, "text/javascript")
async def asset(name: str) -> Response:
    """Return a built file; its name changes with its content."""
    file = use(Shell).files.get(name)
    if file is None:
        raise NotFound("file", name)
    packed = file.packed if request.accept_encodings["gzip"] > 0 else None
    response = _guarded(Response(packed or file.content, content_type=file.content_type))
    if packed is not None:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@routes.get("/ui/x/<plugin>/<version>/<path:name>")
@public
@answers(200, "text/javascript")
@answers(304)
async def plugin_file(plugin: str, version: str, name: str) -> Response:
    """Return a file of a plugin's pages."""
    path = use(Contributions).file(plugin, version, name)
    content = await asyncio.to_thread(path.read_bytes)
    response = _guarded(Response(content, content_type=content_type_of(name)))
    await response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    await response.make_conditional(request)
    return response


@routes.get("/api/ui/contributions")
@signed_in
@document_response(ContributionsOut)
async def contributions() -> Response:
    """Return what the running plugins bring to the interface, as far as the caller may see it."""
    return Response(orjson.dumps(use(Contributions).shown_to(principal())), content_type="application/json")


@routes.get("/api/ui/declared")
@signed_in
@validate_querystring(DeclaredQuery)
@document_response(list[dict[str, Any]])
@answers(402)
async def declared(query_args: DeclaredQuery) -> Response:
    """Return the forms and tables that a page or a widget is declared as."""
    sections = use(Contributions).declared(principal(), query_args.plugin, query_args.name)
    return Response(orjson.dumps(sections), content_type="application/json")


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = use(Shell).policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
