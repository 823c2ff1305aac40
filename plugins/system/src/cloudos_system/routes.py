"""The system endpoints."""

from __future__ import annotations

from cloudos_sdk import current, requires, use
from cloudos_sdk.capabilities import Apps
from cloudos_sdk.http import answers, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_response

from cloudos_system.disks.health import DiskChecks
from cloudos_system.machine.app_usage import apps_metrics
from cloudos_system.schemas import (
    AppsMetrics,
    Current,
    Disk,
    DiskHealth,
    History,
    HistoryQuery,
    Info,
    Interface,
    NetworkHistory,
    NetworkQuery,
    StreamQuery,
)
from cloudos_system.series.history import MetricHistory, check_names
from cloudos_system.series.network_history import NetworkTraffic
from cloudos_system.series.sampler import Sampler
from cloudos_system.series.stream import MetricStreams
from cloudos_system.service import SystemService

routes = Blueprint("system", __name__)


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


@routes.get("/api/system/metrics/current")
@requires("system:read")
@validate_response(Current)
async def current_metrics() -> Current:
    """Return the current usage of CPU, memory and disk."""
    return await use(SystemService).current()


@routes.get("/api/system/metrics")
@requires("system:read")
@validate_querystring(HistoryQuery)
@document_response(History)
async def metrics(query_args: HistoryQuery) -> Response:
    """Return the history of metrics, in buckets aligned in UTC."""
    sampler = use(Sampler)
    return _json(await use(MetricHistory).read(query_args, sampler.metrics(), sampler.newest()))


@routes.get("/api/system/metrics/stream")
@requires("system:read")
@validate_querystring(StreamQuery)
@answers(200, "text/event-stream")
@answers(429)
async def stream_metrics(query_args: StreamQuery) -> Response:
    """Stream the readings as they are taken, every ten seconds, as server-sent events."""
    if query_args.metric:
        check_names(query_args.metric, [metric.name for metric in use(Sampler).metrics()])
    return stream(use(MetricStreams).follow(query_args.metric), "text/event-stream")


@routes.get("/api/system/info")
@requires("system:read")
@validate_response(Info)
async def info() -> Info:
    """Return the properties of this node."""
    return await use(SystemService).info()


@routes.get("/api/system/apps/metrics")
@requires("system:read")
@validate_response(AppsMetrics)
async def app_metrics() -> AppsMetrics:
    """Return the current usage of apps, in total and by app."""
    return await apps_metrics(current().find(Apps), use(Sampler).latest())


@routes.get("/api/system/disk/health")
@requires("system:read")
@document_response(list[DiskHealth])
async def disk_health() -> list[DiskHealth]:
    """Return the health of each physical disk."""
    return await use(DiskChecks).health()


@routes.get("/api/system/disks")
@requires("system:read")
@document_response(list[Disk])
async def disks() -> list[Disk]:
    """List the real filesystems, each once."""
    return await use(SystemService).disks()


@routes.get("/api/system/network/interfaces")
@requires("system:read")
@document_response(list[Interface])
async def interfaces() -> list[Interface]:
    """List the network interfaces."""
    return await use(SystemService).interfaces()


@routes.get("/api/network/history")
@requires("system:read")
@validate_querystring(NetworkQuery)
@document_response(NetworkHistory)
async def network_history(query_args: NetworkQuery) -> Response:
    """Return the traffic of an interface in fixed buckets."""
    return _json(await use(NetworkTraffic).read(query_args, use(Sampler).newest()))
