"""The audit endpoints: read, export, verify. Nothing here changes an entry."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers, begun, json_rows, stream
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_response

from cloudos_audit.external_seal import Position
from cloudos_audit.queries import AuditQueries
from cloudos_audit.schemas import EntryOut, Filters, KeptPosition, LogQuery, Verification
from cloudos_audit.tamper_monitor import TamperMonitor

routes = Blueprint("audit", __name__)


@routes.get("/api/audit/logs")
@requires("audit:read")
@validate_querystring(LogQuery)
@document_response(list[EntryOut], 200)
async def logs(query_args: LogQuery) -> Response:
    """List the audit log, newest first."""
    return json_rows(await use(AuditQueries).page(query_args))


@routes.get("/api/audit/export")
@requires("audit:read")
@validate_querystring(Filters)
@answers(200, "application/x-ndjson")
async def export(query_args: Filters) -> Response:
    """Return the audit log as JSON lines, oldest first, with hashes."""
    return stream(await begun(use(AuditQueries).export(query_args)), "application/x-ndjson")


@routes.get("/api/audit/verify")
@requires("audit:read")
@validate_querystring(KeptPosition)
@validate_response(Verification)
async def verify(query_args: KeptPosition) -> Verification:
    """Verify that no entry was altered, removed, added or reordered, also against a position kept elsewhere."""
    number, hash = query_args.number, query_args.hash
    return await use(TamperMonitor).verify(None if number is None or hash is None else Position(number, hash))
