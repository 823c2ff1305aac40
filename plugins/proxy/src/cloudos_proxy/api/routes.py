"""The route endpoints (reference, "Reverse Proxy")."""

from __future__ import annotations

import orjson
from cloudos_sdk import requires, use
from cloudos_sdk.http import answers, json_rows
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_proxy.apply.applier import Applier
from cloudos_proxy.apply.history import ApplyHistory
from cloudos_proxy.apply.startup import ProxyStartup
from cloudos_proxy.routes.schemas import (
    AppliedOut,
    Confirm,
    Diff,
    Force,
    NewRoute,
    Outcome,
    RouteChange,
    RouteOut,
    State,
    Upstream,
)
from cloudos_proxy.routes.service import RouteService
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_resolver import Resolver

routes = Blueprint("proxy", __name__)


def _answer(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


@routes.get("/api/proxy/routes")
@requires("proxy:read")
@document_response(list[RouteOut])
async def list_routes() -> Response:
    """List all routes, newest first."""
    service = use(RouteService)
    return json_rows([service.shown(row) for row in use(RouteStore).all()])


@routes.post("/api/proxy/routes")
@requires("proxy:write")
@validate_request(NewRoute)
@document_response(RouteOut, 201)
@answers(501)
async def create_route(data: NewRoute) -> Response:
    """Make a route; it is pending until it is applied."""
    service = use(RouteService)
    return _answer(service.shown(await service.create(data)), 201)


@routes.get("/api/proxy/routes/<route_id>")
@requires("proxy:read")
@document_response(RouteOut)
async def get_route(route_id: str) -> Response:
    """Return a route."""
    return _answer(use(RouteService).shown(use(RouteStore).get(route_id)))


@routes.put("/api/proxy/routes/<route_id>")
@requires("proxy:write")
@validate_querystring(Confirm)
@validate_request(RouteChange)
@document_response(RouteOut)
@answers(501)
async def change_route(route_id: str, data: RouteChange, query_args: Confirm) -> Response:
    """Change a route; re-pointing the apex needs `confirm=true`."""
    service = use(RouteService)
    return _answer(service.shown(await service.change(route_id, data, confirm=query_args.confirm)))


@routes.delete("/api/proxy/routes/<route_id>")
@requires("proxy:write")
@answers(204)
async def delete_route(route_id: str) -> Response:
    """Delete a custom route; those of the apex and of apps stay."""
    await use(RouteService).delete(route_id)
    return Response(status=204)


@routes.post("/api/proxy/apply")
@requires("proxy:write")
@validate_querystring(Force)
@document_response(Outcome)
async def apply(query_args: Force) -> Response:
    """Put all staged changes in force, or none; with `force=true` although an upstream is down."""
    return _answer(await use(Applier).apply(force=query_args.force))


@routes.get("/api/proxy/diff")
@requires("proxy:read")
@document_response(Diff)
async def diff() -> Response:
    """Return the changes that an apply would make."""
    return _answer(await use(Applier).diff())


@routes.get("/api/proxy/history")
@requires("proxy:read")
@document_response(list[AppliedOut])
async def history() -> Response:
    """List the last twenty configurations that were applied, newest first."""
    return json_rows(await use(ApplyHistory).listed())


@routes.post("/api/proxy/rollback/<applied_id>")
@requires("proxy:write")
@validate_querystring(Force)
@document_response(Outcome)
async def rollback(applied_id: str, query_args: Force) -> Response:
    """Serve the routes of an earlier configuration again; routes made since become pending."""
    return _answer(await use(Applier).rollback(applied_id, force=query_args.force))


@routes.get("/api/proxy/upstreams")
@requires("proxy:read")
@document_response(list[Upstream])
async def upstreams() -> Response:
    """List all known upstreams: apps, the OS UI, and addresses that routes lead to."""
    return json_rows(await use(Resolver).upstreams(use(RouteStore).all()))


@routes.get("/api/proxy/status")
@requires("proxy:read")
@document_response(State)
async def status() -> Response:
    """Return whether the proxy serves, its ports, and what keeps it from serving."""
    return _answer(await use(ProxyStartup).state())
