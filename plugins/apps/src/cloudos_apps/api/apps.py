"""The app endpoints."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_apps.lifecycle.service import AppService
from cloudos_apps.monitoring.logs import LogReader
from cloudos_apps.monitoring.stats import UsageReader
from cloudos_apps.schemas import AppChange, AppDetails, AppOut, LogQuery, Logs, NewApp, Stats, Uninstall
from cloudos_apps.store import AppStore, shown

routes = Blueprint("apps", __name__)


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")


@routes.get("/api/apps")
@requires("apps:read")
@document_response(list[AppOut])
async def list_apps() -> Response:
    """List the installed apps, newest first."""
    return _answer(await use(AppStore).listed())


@routes.post("/api/apps")
@requires("apps:write")
@validate_request(NewApp)
@document_response(AppOut, 201)
@answers(404)
@answers(507)
async def install(data: NewApp) -> Response:
    """Install an app from a template; `operation_id` is the operation with its progress."""
    return _answer(shown(await use(AppService).install(data)), 201)


@routes.get("/api/apps/<app_id>")
@requires("apps:read")
@document_response(AppDetails)
async def get_app(app_id: str) -> Response:
    """Return an app with its services and settings, without secrets."""
    store = use(AppStore)
    return _answer(store.details(await store.get(app_id)))


@routes.put("/api/apps/<app_id>")
@requires("apps:write")
@validate_request(AppChange)
@document_response(AppOut, 202)
@answers(507)
async def change(app_id: str, data: AppChange) -> Response:
    """Change an app's settings or version; the old containers are restored if the new ones do not become healthy."""
    return _answer(shown(await use(AppService).change(app_id, data)), 202)


@routes.delete("/api/apps/<app_id>")
@requires("apps:write")
@validate_querystring(Uninstall)
@document_response(AppOut, 202)
@answers(204)
async def uninstall(app_id: str, query_args: Uninstall) -> Response:
    """Uninstall an app; its volumes stay unless `purge=true`. 202 if it takes longer than a minute."""
    if await use(AppService).uninstall(app_id, purge=query_args.purge):
        return Response(status=204)
    return _answer(shown(await use(AppStore).get(app_id)), 202)


@routes.post("/api/apps/<app_id>/start")
@requires("apps:write")
@document_response(AppOut)
async def start(app_id: str) -> Response:
    """Start a stopped app."""
    return _answer(shown(await use(AppService).start(app_id)))


@routes.post("/api/apps/<app_id>/stop")
@requires("apps:write")
@document_response(AppOut)
async def stop(app_id: str) -> Response:
    """Stop a running app."""
    return _answer(shown(await use(AppService).stop(app_id)))


@routes.post("/api/apps/<app_id>/restart")
@requires("apps:write")
@document_response(AppOut)
async def restart(app_id: str) -> Response:
    """Restart an app."""
    return _answer(shown(await use(AppService).restart(app_id)))


@routes.get("/api/apps/<app_id>/logs")
@requires("apps:read")
@validate_querystring(LogQuery)
@document_response(Logs)
@answers(200, "application/x-ndjson")
@answers(429)
async def logs(app_id: str, query_args: LogQuery) -> Response:
    """Return an app's newest log lines; with `follow=true` a continuing stream of JSON lines."""
    if query_args.follow:
        return stream(await use(LogReader).follow(app_id, query_args), "application/x-ndjson", live=True)
    return _answer(await use(LogReader).logs(app_id, query_args))


@routes.get("/api/apps/<app_id>/stats")
@requires("apps:read")
@document_response(Stats)
async def stats(app_id: str) -> Response:
    """Return an app's current resource usage."""
    return _answer((await use(UsageReader).read(app_id)).model_dump_json().encode())
