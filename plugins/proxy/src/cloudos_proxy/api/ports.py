"""Takeover of the web ports, their release, and the snippets for another web server in front."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from cloudos_sdk import requires, use
from cloudos_sdk.http import Body, Query, answers
from pydantic import BaseModel
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_proxy.ports.coexist import Coexistence
from cloudos_proxy.ports.takeover import TakeoverService

takeover_routes = Blueprint("proxy_takeover", __name__)


class Confirmation(Body):
    """That the server which holds the ports may be stopped."""

    confirm: bool = False


class Which(Query):
    """The web server in front."""

    proxy: Literal["nginx", "apache"]


class PortsOut(BaseModel):
    """The web ports: holders, programs stopped for them, and programs started again."""

    ports: list[int]
    held_by: list[dict[str, Any]] = []
    taken: list[dict[str, Any]] = []
    stopped: list[dict[str, Any]] = []
    started: list[str] = []


@takeover_routes.get("/api/settings/proxy/takeover")
@requires("web-ports:read")
@document_response(PortsOut)
async def status() -> Response:
    """Return the holders of the web ports, and the programs stopped for them."""
    return _answer(await use(TakeoverService).status())


@takeover_routes.post("/api/settings/proxy/takeover")
@requires("web-ports:write")
@validate_request(Confirmation)
@document_response(PortsOut)
async def take(data: Confirmation) -> Response:
    """Stop and disable the server that holds the web ports; without `confirm`, return what would be stopped."""
    return _answer(await use(TakeoverService).take(confirmed=data.confirm))


@takeover_routes.post("/api/settings/proxy/release")
@requires("web-ports:write")
@document_response(PortsOut)
async def release() -> Response:
    """Give the web ports back to the server that was stopped for them."""
    return _answer(await use(TakeoverService).release())


@takeover_routes.get("/api/settings/proxy/coexist-snippet")
@requires("web-ports:read")
@validate_querystring(Which)
@answers(200, "text/plain")
async def coexist_snippet(query_args: Which) -> Response:
    """Return the configuration to paste into the web server in front."""
    text = await use(Coexistence).snippet(query_args.proxy)
    return Response(text, content_type="text/plain; charset=utf-8")


def _answer(found: dict[str, Any]) -> Response:
    return Response(
        orjson.dumps(found, option=orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS), content_type="application/json"
    )
