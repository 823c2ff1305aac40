"""The dashboard endpoints. Each person has layouts of their own; a key acts on those of its person."""

from __future__ import annotations

from cloudos_sdk import NotFound, accepts, iso, principal, requires, use
from cloudos_sdk.http import json_rows
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request, validate_response

from cloudos_dashboard.schemas import KindQuery, LayoutOut, NewLayout, RestoreQuery, Saved, VersionOut
from cloudos_dashboard.service import Dashboards

routes = Blueprint("dashboard", __name__)

_LARGEST = 64 * 1024


@routes.get("/api/profile/dashboard")
@requires("dashboard:read")
@validate_querystring(KindQuery)
@document_response(LayoutOut)
async def get_layout(query_args: KindQuery) -> Response:
    """Return your layout; version 0 is the default one."""
    return _json(await use(Dashboards).get(principal().user_id, query_args.type))


@routes.put("/api/profile/dashboard")
@requires("dashboard:write")
@accepts("application/json", max_body=_LARGEST)
@validate_querystring(KindQuery)
@validate_request(NewLayout)
@validate_response(Saved)
async def save_layout(query_args: KindQuery, data: NewLayout) -> Saved:
    """Save your layout over the version that you have; 409 if that is no longer current."""
    version = await use(Dashboards).save(principal().user_id, query_args.type, data)
    return Saved(type=query_args.type, version=version)


@routes.get("/api/profile/dashboard/versions")
@requires("dashboard:read")
@validate_querystring(KindQuery)
@document_response(list[VersionOut])
async def list_versions(query_args: KindQuery) -> Response:
    """List the last 20 earlier versions of your layout, newest first."""
    rows = await use(Dashboards).versions(principal().user_id, query_args.type)
    return json_rows([{**row, "saved_at": iso(row["saved_at"])} for row in rows])


@routes.get("/api/profile/dashboard/versions/<version>")
@requires("dashboard:read")
@validate_querystring(KindQuery)
@document_response(LayoutOut)
async def get_version(version: str, query_args: KindQuery) -> Response:
    """Return an earlier version of your layout."""
    return _json(await use(Dashboards).version(principal().user_id, query_args.type, _number(version)))


@routes.post("/api/profile/dashboard/versions/<version>/restore")
@requires("dashboard:write")
@validate_querystring(RestoreQuery)
@validate_response(Saved)
async def restore_version(version: str, query_args: RestoreQuery) -> Saved:
    """Restore an earlier version as a new one; 0 is the default layout."""
    number = _number(version)
    now = await use(Dashboards).restore(principal().user_id, query_args.type, number, query_args.current)
    return Saved(type=query_args.type, version=now)


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


def _number(text: str) -> int:
    """Return the number in a path. Raises NotFound."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound("version", text)
    return int(text)
