"""The host's own endpoints: health, plugins, operations, events, metrics, the licence and the API's description."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import Any

import orjson
from cloudos_sdk import (
    Conflict,
    Forbidden,
    InvalidRequest,
    Manifest,
    NotFound,
    Permission,
    Role,
    limited,
    principal,
    public,
    requires,
    signed_in,
)
from cloudos_sdk.capabilities import PermissionCatalogue, PluginCatalogue
from cloudos_sdk.http import Page, answers, stream
from quart import Blueprint, Response, request
from quart_schema import document_response, validate_querystring
from sqlalchemy import select

from cloudos_host.data import operations
from cloudos_host.data.models import OperationRow
from cloudos_host.http.prometheus import exposition
from cloudos_host.http.schemas import Alive, OperationOut, PlanFeatures, PluginOut, Readiness
from cloudos_host.plugins.registry import PluginState

manifest = Manifest(
    title="Cloud OS host",
    prefixes=(
        "/api/health",
        "/api/ready",
        "/api/plugins",
        "/api/operations",
        "/api/events",
        "/api/license",
        "/metrics",
        "/openapi.json",
        "/api/docs",
    ),
    provides=(PermissionCatalogue, PluginCatalogue),
    permissions=(
        Permission("plugins:read", "See which plugins run", Role.VIEWER),
        Permission("operations:read", "See long work", Role.VIEWER),
        Permission("operations:write", "Cancel long work", Role.OPERATOR),
        Permission("metrics:read", "Read the host's metrics", Role.VIEWER),
    ),
)


def routes(host: Any) -> Blueprint:
    """Return the blueprint over a host."""
    blueprint = Blueprint("host", __name__)

    def answer(body: Any, status: int = 200) -> Response:
        return Response(orjson.dumps(body), status, content_type="application/json")

    @blueprint.get("/api/health")
    @public
    @document_response(Alive)
    async def health() -> Response:
        """Return that the process is alive, and the state of its database."""
        trouble = host.db.trouble
        return answer({"status": "ok", "database": trouble.code if trouble is not None else "ok"})

    @blueprint.get("/api/ready")
    @public
    @document_response(Readiness)
    @document_response(Readiness, 503)
    async def ready() -> Response:
        """Return whether database and enabled plugins work (503 where not), and which fail their health check."""
        down = [r.id for r in host.records if r.state in (PluginState.PENDING, PluginState.WAITING, PluginState.FAILED)]
        ill = [r.id for r in host.records if r.blamed or (r.state is PluginState.RUNNING and not r.health.ok)]
        down += [id for id in ill if id in host.settings.required]
        down += ["database"] if host.db.trouble is not None else []
        ill += [] if host.host_record.health.ok else ["host"]
        return answer({"ready": not down, "not_ready": down, "degraded": ill}, 200 if not down else 503)

    @blueprint.get("/api/plugins")
    @requires("plugins:read")
    @document_response(list[PluginOut])
    async def plugins() -> Response:
        """List the plugins: state, phase, and why."""
        return answer([record.public() for record in host.records])

    def visible(audience: str) -> bool:
        return bool(host.permissions.sees(principal(), audience))

    @blueprint.get("/api/operations")
    @requires("operations:read")
    @validate_querystring(Page)
    @document_response(list[OperationOut])
    async def list_operations(query_args: Page) -> Response:
        """List operations, newest first: the caller's own and those of audiences that the caller belongs to."""
        table, who = OperationRow.__table__, principal()
        statement = select(OperationRow).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(query_args.limit)
        if not visible("user:"):
            shown = [name for name in host.permissions.permissions() if host.permissions.allows(who, name)]
            statement = statement.where(table.c.audience.in_(shown) | (table.c.owner == who.user_id))
        for name, edge in (("before", query_args.before), ("after", query_args.after)):
            if edge is not None:
                try:
                    at = (await operations.load(host.db, edge, visible)).created_at
                except NotFound as error:
                    raise InvalidRequest.field(name, f"there is no operation {edge!r}") from error
                statement = statement.where(table.c.created_at < at if name == "before" else table.c.created_at > at)
        rows = await host.db.read(lambda s: s.execute(statement).scalars().all())
        return answer([operations.public(row) for row in rows if visible(operations.audience_of(row))])

    @blueprint.get("/api/operations/<operation_id>")
    @requires("operations:read")
    @document_response(OperationOut)
    async def get_operation(operation_id: str) -> Response:
        """Return how far long work is."""
        return answer(operations.public(await operations.load(host.db, operation_id, visible)))

    @blueprint.post("/api/operations/<operation_id>/cancel")
    @requires("operations:read")
    @document_response(OperationOut, 202)
    async def cancel_operation(operation_id: str) -> Response:
        """Ask long work to stop and clean up; 202, it ends in the background. Anyone may cancel their own."""
        row, who = await operations.load(host.db, operation_id, visible), principal()
        own = row.owner == who.user_id and who.scopes is None
        if not own and not host.permissions.allows(who, "operations:write"):
            raise Forbidden("You lack the permission operations:write.", permission="operations:write")
        for record in host.records:
            if record.context is not None and record.context.operations.owns(operation_id):
                await record.context.operations.cancel(operation_id)
                return answer(operations.public(row), 202)
        raise Conflict("operation_finished", "The operation is not running; there is nothing to cancel.")

    @blueprint.get("/api/events")
    @signed_in
    @answers(200, "text/event-stream")
    @answers(429)
    async def events() -> Response:
        """Stream the events that the caller may see."""
        who = principal()
        given = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
        if given is not None and not (given.isascii() and given.isdigit() and len(given) < 19):
            raise InvalidRequest.field("Last-Event-ID", "the number of the last event that you have")

        def allowed(audience: str) -> bool:
            return bool(host.permissions.sees(who, audience))

        chunks = host.streams.stream(allowed, int(given) if given else None)
        return stream(chunks, "text/event-stream")

    @blueprint.get("/metrics")
    @requires("metrics:read")
    @answers(200, "text/plain")
    async def metrics() -> Response:
        """Return the host's counters and the plugins' metrics for Prometheus."""
        text, content_type = exposition(host)
        return Response(text, content_type=content_type)

    @blueprint.get("/api/license/orbit-features")
    @signed_in
    @document_response(PlanFeatures)
    async def orbit_features() -> Response:
        """Project the plan onto its feature flags and limits."""
        return answer(host.licence.projection())

    @blueprint.get("/openapi.json")
    @public
    @limited(60, 60)
    @answers(200, "application/json")
    @answers(304)
    async def openapi() -> Response:
        """Describe the API of the enabled plugins (OpenAPI 3.1)."""
        text, tag = await host.description.given()
        response = Response(text, content_type="application/json")
        response.set_etag(tag)
        response.headers["Cache-Control"] = "no-cache"
        if request.if_none_match.contains_weak(tag):
            response.status_code = 304
            response.set_data(b"")
            response.headers.pop("Content-Length", None)
            response.headers.pop("Content-Type", None)
        return response

    @blueprint.get("/api/docs")
    @public
    @answers(200, "text/html")
    async def docs() -> Response:
        """Show the API to a person."""
        return page("index.html", "text/html; charset=utf-8")

    @blueprint.get("/api/docs/docs.js")
    @public
    @answers(200, "text/javascript")
    async def docs_script() -> Response:
        """Return the script of the API page."""
        return page("docs.js", "text/javascript; charset=utf-8")

    @blueprint.get("/api/docs/docs.css")
    @public
    @answers(200, "text/css")
    async def docs_style() -> Response:
        """Return the style of the API page."""
        return page("docs.css", "text/css; charset=utf-8")

    return blueprint


@cache
def _page(name: str) -> bytes:
    return (importlib.resources.files("cloudos_host.docs_page") / name).read_bytes()


def page(name: str, content_type: str) -> Response:
    """Return a file of the API page; it loads nothing from anywhere else."""
    response = Response(_page(name), content_type=content_type)
    response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
