"""The endpoints of rules and alerts (reference, "Alerts")."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers, json_rows
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request, validate_response

from cloudos_alerts.evaluation.history import AlertHistory
from cloudos_alerts.rules.metric_catalog import MetricCatalog
from cloudos_alerts.schemas import (
    Acknowledgement,
    ActiveQuery,
    AlertDetails,
    AlertOut,
    HistoryQuery,
    MetricOut,
    NewRule,
    RuleChange,
    RuleDetails,
    RuleOut,
    Silence,
)
from cloudos_alerts.service import RuleService

routes = Blueprint("alerts", __name__)


@routes.get("/api/alerts")
@requires("alerts:read")
@validate_querystring(ActiveQuery)
@document_response(list[AlertOut])
async def active(query_args: ActiveQuery) -> Response:
    """List the firing alerts, newest first."""
    return json_rows(await use(AlertHistory).active(query_args))


@routes.get("/api/alerts/history")
@requires("alerts:read")
@validate_querystring(HistoryQuery)
@document_response(list[AlertOut])
async def history(query_args: HistoryQuery) -> Response:
    """List the alerts that there were, those that fire among them, newest first."""
    return json_rows(await use(AlertHistory).page(query_args))


@routes.get("/api/alerts/metrics")
@requires("alerts:read")
@document_response(list[MetricOut])
async def metrics() -> Response:
    """List the metrics that a rule may be on, by name."""
    found = use(MetricCatalog).metrics().values()
    return json_rows([{"name": m.name, "unit": m.unit, "help": m.help, "labels": list(m.labels)} for m in found])


@routes.get("/api/alerts/<alert_id>")
@requires("alerts:read")
@validate_response(AlertDetails)
async def get_alert(alert_id: str) -> AlertDetails:
    """Return an alert with the messages about it."""
    return AlertDetails(**await use(AlertHistory).get(alert_id))


@routes.post("/api/alerts/<alert_id>/acknowledge")
@requires("alerts:write")
@validate_request(Acknowledgement)
@validate_response(AlertDetails)
async def acknowledge(alert_id: str, data: Acknowledgement) -> AlertDetails:
    """Take notice of an alert: it is not repeated any more."""
    return AlertDetails(**await use(AlertHistory).acknowledge(alert_id, data.note))


@routes.get("/api/alerts/rules")
@requires("alerts:read")
@document_response(list[RuleOut])
async def list_rules() -> Response:
    """List the rules with their states, oldest first."""
    return json_rows(await use(RuleService).listed())


@routes.post("/api/alerts/rules")
@requires("alerts:write")
@validate_request(NewRule)
@validate_response(RuleDetails, 201)
async def add_rule(data: NewRule) -> tuple[RuleDetails, int]:
    """Add a rule on a metric of the system, an app or an event."""
    return RuleDetails(**await use(RuleService).add(data)), 201


@routes.get("/api/alerts/rules/<rule_id>")
@requires("alerts:read")
@validate_response(RuleDetails)
async def get_rule(rule_id: str) -> RuleDetails:
    """Return a rule with the state of each of its series."""
    return RuleDetails(**await use(RuleService).get(rule_id))


@routes.put("/api/alerts/rules/<rule_id>")
@requires("alerts:write")
@validate_request(RuleChange)
@validate_response(RuleDetails)
async def change_rule(rule_id: str, data: RuleChange) -> RuleDetails:
    """Change a rule; omitted fields stay."""
    return RuleDetails(**await use(RuleService).change(rule_id, data))


@routes.delete("/api/alerts/rules/<rule_id>")
@requires("alerts:write")
@answers(204)
async def remove_rule(rule_id: str) -> Response:
    """Remove a rule; its alerts stay in the history."""
    await use(RuleService).remove(rule_id)
    return Response(status=204)


@routes.post("/api/alerts/rules/<rule_id>/silence")
@requires("alerts:write")
@validate_request(Silence)
@validate_response(RuleDetails)
async def silence(rule_id: str, data: Silence) -> RuleDetails:
    """Silence the notifications of a rule for a time, with a reason."""
    return RuleDetails(**await use(RuleService).silence(rule_id, data))


@routes.post("/api/alerts/rules/<rule_id>/unsilence")
@requires("alerts:write")
@validate_response(RuleDetails)
async def unsilence(rule_id: str) -> RuleDetails:
    """End a silence."""
    return RuleDetails(**await use(RuleService).unsilence(rule_id))


@routes.post("/api/alerts/rules/<rule_id>/acknowledge")
@requires("alerts:write")
@validate_request(Acknowledgement)
@document_response(list[AlertOut])
async def acknowledge_rule(rule_id: str, data: Acknowledgement) -> Response:
    """Take notice of all that fires of a rule."""
    return json_rows(await use(AlertHistory).acknowledge_rule(rule_id, data.note))
