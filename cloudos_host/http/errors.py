"""Every error in the contract's shape: `{"error", "message", …}`."""

from __future__ import annotations

from typing import Any

import orjson
from cloudos_sdk import CloudOSError
from cloudos_sdk.context import current
from cloudos_sdk.identity import caller
from cloudos_sdk.misfits import place_of, sentence_of
from pydantic import ValidationError
from quart import Quart, Response, has_websocket_context, request, websocket
from quart_schema import RequestSchemaValidationError
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from cloudos_host.data.database_failure import refusal

_MOST_FIELDS = 20
_LONGEST_PATH = 200
_LONGEST_MESSAGE = 2000
_CODES = {
    400: ("invalid_request", "The request cannot be read: is its body JSON?"),
    404: ("not_found", "There is nothing at this path."),
    405: ("method_not_allowed", "This path does not take this method."),
    408: ("request_timeout", "The body of the request did not arrive in time."),
    413: ("body_too_large", "The body of the request is too large."),
    415: ("unsupported_media_type", "Send the body as application/json."),
}


def answer(error: CloudOSError) -> Response:
    """Return the response of an error."""
    response = _respond(error.body(), error.status)
    response.headers.update(error.headers)
    return response


def answer_http(error: HTTPException) -> Response:
    """Return the response of an HTTP error that Quart or Werkzeug raised."""
    status = error.code or 500
    code, message = _CODES.get(status, ("error", error.description or "The request failed."))
    if isinstance(error, UnsupportedMediaType) and error.description != UnsupportedMediaType.description:
        message = error.description or message  # the gate's own, which names what the endpoint takes
    response = _respond({"error": code, "message": message}, status)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def install(app: Quart, log: Any) -> None:
    """Register the handlers."""

    async def known(error: CloudOSError) -> Response:
        return answer(error)

    async def misfit(error: RequestSchemaValidationError) -> Response:
        fields, more = _fields(error.validation_error)
        message = (
            "; ".join(f"{f['path']}: {f['message']}".removeprefix(": ") for f in fields[:3])
            or "The request does not fit its schema."
        )
        if more:
            message = f"{message[: _LONGEST_MESSAGE // 2]}; and {more} more fields that do not fit"
        return _respond({"error": "invalid_request", "message": message, "fields": fields}, 400)

    async def http(error: HTTPException) -> Response:
        return answer_http(error)

    async def crash(error: Exception) -> Response:
        refused = refusal(error)  # of the database, in other words of a plugin's
        if refused is not None:
            return answer(refused)
        note_crash(log, _where(), error)
        return answer(crashed())

    async def undecodable(error: UnicodeDecodeError) -> Response:
        if request.mimetype != "application/json":
            return await crash(error)
        return _respond({"error": "invalid_request", "message": "The body is not JSON in UTF-8."}, 400)

    app.register_error_handler(UnicodeDecodeError, undecodable)
    app.register_error_handler(CloudOSError, known)
    app.register_error_handler(RequestSchemaValidationError, misfit)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, crash)


def crashed() -> CloudOSError:
    """Return the error that a crash is answered with."""
    message = "Something went wrong in the server; its log tells more under this request id."
    return CloudOSError("internal_error", message, request_id=caller().request_id)


def note_crash(log: Any, where: str, error: BaseException) -> None:
    """Log a crash of the plugin that serves this request, and count it into the plugin's health."""
    try:
        context: Any = current()
    except LookupError:  # before the gate knew whose it is
        context = None
    plugin = context.id if context is not None else None
    log.error("request crashed", plugin=plugin, request=where, request_id=caller().request_id, exc_info=error)
    if context is not None:
        context.faults.note(where, error)


def _where() -> str:
    if has_websocket_context():
        return f"WebSocket {websocket.path}"
    return f"{request.method} {request.path}"


def _respond(body: dict[str, Any], status: int) -> Response:
    body["message"] = cut(body["message"], _LONGEST_MESSAGE)
    if "fields" in body:
        body["fields"] = [
            {**field, "path": cut(field["path"], _LONGEST_PATH), "message": cut(field["message"], _LONGEST_MESSAGE)}
            for field in body["fields"][:_MOST_FIELDS]
        ]
    return Response(orjson.dumps(body), status, content_type="application/json")


def cut(text: str, most: int) -> str:
    """Return a text of `most` characters at most: an answer is not as long as the request wants it to be."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _fields(error: Exception) -> tuple[list[dict[str, str]], int]:
    """Return the first fields that do not fit, and how many more there are."""
    if not isinstance(error, ValidationError):
        return [{"path": "", "message": cut(str(error), _LONGEST_PATH)}], 0
    found = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [
        {"path": cut(place_of(item), _LONGEST_PATH), "message": cut(sentence_of(item), 300)}
        for item in found[:_MOST_FIELDS]
    ]
    return shown, len(found) - len(shown)
