"""The endpoints of schedules, and of proofs by hand."""

from __future__ import annotations

from cloudos_sdk import requires, use
from quart import Blueprint, Response
from quart_schema import document_response, validate_request

from cloudos_backups.api.answers import reply
from cloudos_backups.api.schemas import Begun, ScheduleOut, Schedules, SchedulesOut
from cloudos_backups.proof.service import Proofs
from cloudos_backups.schedule.service import Schedules as ScheduleService

schedule_routes = Blueprint("backup_schedules", __name__)


async def _shown() -> Response:
    return reply(SchedulesOut(schedules=[ScheduleOut(**found) for found in await use(ScheduleService).shown()]))


@schedule_routes.get("/api/backup/schedule")
@requires("backups:read")
@document_response(SchedulesOut)
async def get_schedule() -> Response:
    """Return the schedules, when each is due next, and what became of it last."""
    return await _shown()


@schedule_routes.put("/api/backup/schedule")
@requires("backup_settings:write")
@validate_request(Schedules)
@document_response(SchedulesOut)
async def set_schedule(data: Schedules) -> Response:
    """Set all schedules: one with an `id` goes on, those that are left out end."""
    await use(ScheduleService).replace([plan.model_dump(mode="json") for plan in data.schedules])
    return await _shown()


@schedule_routes.post("/api/backups/apps/<app_id>/prove")
@requires("backups:write")
@document_response(Begun, 202)
async def prove(app_id: str) -> Response:
    """Begin to prove the newest backup of an app: it is restored beside itself, started, compared and removed."""
    return reply(Begun(operation_id=await use(Proofs).begin(app_id), status="in_progress"), 202)
