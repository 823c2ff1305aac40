"""The endpoints of channels (reference, "Alerts"). Their settings hold secrets: only admins change and try them."""

from __future__ import annotations

from cloudos_sdk import limited, principal, requires, use
from cloudos_sdk.http import answers, json_rows
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request, validate_response

from cloudos_alerts.notify.channels import ChannelService
from cloudos_alerts.schemas import ChannelChange, ChannelOut, NewChannel, RemoveChannel, Trial

channel_routes = Blueprint("alert_channels", __name__)


@channel_routes.get("/api/alerts/channels")
@requires("alerts:read")
@document_response(list[ChannelOut])
async def list_channels() -> Response:
    """List the channels, their secrets hidden, oldest first."""
    return json_rows(await use(ChannelService).listed())


@channel_routes.post("/api/alerts/channels")
@requires("alert-channels:write")
@validate_request(NewChannel)
@validate_response(ChannelOut, 201)
async def add_channel(data: NewChannel) -> tuple[ChannelOut, int]:
    """Add a channel; the node's own rules that have none take the first one."""
    return ChannelOut(**await use(ChannelService).add(data)), 201


@channel_routes.get("/api/alerts/channels/<channel_id>")
@requires("alerts:read")
@validate_response(ChannelOut)
async def get_channel(channel_id: str) -> ChannelOut:
    """Return a channel, its secrets hidden."""
    return ChannelOut(**await use(ChannelService).get(channel_id))


@channel_routes.put("/api/alerts/channels/<channel_id>")
@requires("alert-channels:write")
@validate_request(ChannelChange)
@validate_response(ChannelOut)
async def change_channel(channel_id: str, data: ChannelChange) -> ChannelOut:
    """Change a channel; its pending notifications are tried at once."""
    return ChannelOut(**await use(ChannelService).change(channel_id, data))


@channel_routes.delete("/api/alerts/channels/<channel_id>")
@requires("alert-channels:write")
@validate_querystring(RemoveChannel)
@answers(204)
async def remove_channel(channel_id: str, query_args: RemoveChannel) -> Response:
    """Remove a channel that no rule uses; with `detach=true` the rules do without it."""
    await use(ChannelService).remove(channel_id, detach=query_args.detach)
    return Response(status=204)


@channel_routes.post("/api/alerts/channels/<channel_id>/test")
@requires("alert-channels:write")
@limited(30, 60, by="caller")
@validate_response(Trial)
async def test_channel(channel_id: str) -> Trial:
    """Send a test notification and return the outcome; the receiver's own answer is shown to users only."""
    return await use(ChannelService).test(channel_id, principal())
