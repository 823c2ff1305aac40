"""Every answer of a host under test, held against the host's own description of its API."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema_rs
from werkzeug.exceptions import HTTPException

_WHERE = "urn:openapi"
_BODILESS = frozenset({204, 304})


class Description:
    """An OpenAPI document as a judge; each of its schemas is compiled once, when it is first needed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.paths: dict[str, dict[str, Any]] = document["paths"]
        self._responses = document["components"]["responses"]
        strict = copy.deepcopy(document)
        for schema in strict["components"]["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._registry = jsonschema_rs.Registry([(_WHERE, strict)])
        self._validators: dict[str, Any] = {}

    def misfit(self, path: str, method: str, status: int, media: str, body: bytes | None) -> str | None:
        """Return how an answer differs from the operation at a path, or None. A body of None is not judged."""
        operation = self.paths.get(path, {}).get(method)
        if operation is None:
            return "the operation is not described"
        response = operation["responses"].get(str(status))
        if response is None and "default" in operation["responses"]:
            return self.problem(body) if status >= 400 and body else None  # who describes nothing is not held to it
        if response is None:
            return "the status is not described"
        where = f"/paths/{_pointer(path)}/{method}/responses/{status}"
        if "$ref" in response:
            where = response["$ref"].removeprefix("#")
            response = self._responses[response["$ref"].rpartition("/")[2]]
        return self._content(response.get("content"), where, status, media, body)

    def problem(self, body: bytes) -> str | None:
        """Return how an error outside of every operation differs from the contract's shape."""
        return self._fits("/components/schemas/Problem", body)

    def _content(
        self, content: dict[str, Any] | None, where: str, status: int, media: str, body: bytes | None
    ) -> str | None:
        if content is None or status in _BODILESS:
            return f"a body of {len(body)} bytes is not described" if body and media else None
        if media not in content:
            return f"the content type {media!r} is not among {sorted(content)}"
        if media != "application/json" or body is None:
            return None
        return self._fits(f"{where}/content/{_pointer(media)}/schema", body)

    def _fits(self, where: str, body: bytes) -> str | None:
        validator = self._validators.get(where)
        if validator is None:
            schema = {"$ref": f"{_WHERE}#{where}"}
            validator = self._validators[where] = jsonschema_rs.Draft202012Validator(schema, registry=self._registry)
        try:
            found = json.loads(body)
        except ValueError:
            return "the body is not JSON"
        try:
            validator.validate(found)
        except jsonschema_rs.ValidationError as error:
            return f"{'.'.join(map(str, error.instance_path))}: {error.message[:300]}"
        return None


class AnswerCheck:
    """ASGI middleware that collects in `misfits` the answers that do not match the OpenAPI document."""

    _known: dict[Any, Description] = {}

    def __init__(self, app: Any) -> None:
        self._app = app
        self._inner = app.asgi_app
        self._routes = -1
        self._description: Description | None = None
        self.misfits: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request and check its answer."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        answer = _Answer(send)
        await self._inner(scope, receive, answer.send)
        if answer.status is not None:
            self._judge(scope["path"], scope["method"].lower(), answer)

    def _judge(self, path: str, method: str, answer: _Answer) -> None:
        status, media = answer.status or 0, answer.media
        described, place = self._described(), self._place(path, method)
        judged, body = "get" if method == "head" else method, None if method == "head" else answer.body
        if place is None:
            if status < 400 or body is None or self._mounted(path):
                return
            misfit = described.problem(body)
        elif judged == "options":
            return
        else:
            misfit = described.misfit(place, judged, status, media, body)
        if misfit is not None:
            said = f"{method.upper()} {path} -> {status} {media}: {misfit}"
            if said not in self.misfits:
                self.misfits.append(said)

    def _place(self, path: str, method: str) -> str | None:
        """Return the path template of a request; None if the document has none."""
        from cloudos_host.http.openapi import path_of

        try:
            rule, _ = self._app.url_map.bind("host").match(path, method.upper(), return_rule=True)
        except HTTPException:
            mounted = path.rstrip("/")
            return mounted if method in self._described().paths.get(mounted, {}) else None
        return path_of(rule)

    def _mounted(self, path: str) -> bool:
        """Return whether a plugin's own application answers for a path, in its own shape."""
        from cloudos_host.plugins.registry import covers

        return any(covers(mount.path, path) for record in self._app.gate.records for mount in record.mounts)

    def _described(self) -> Description:
        """Return the description of the routes that there are now; hosts with the same routes share one."""
        from cloudos_host.http.app import describe

        if self._description is None or self._routes != self._app.routes_changed:
            self._routes = self._app.routes_changed
            key = frozenset(self._marks())
            if key not in self._known:
                self._known[key] = Description(describe(self._app))
            self._description = self._known[key]
        return self._description

    def _marks(self) -> Any:
        for rule in self._app.url_map.iter_rules():
            view = self._app.view_functions[rule.endpoint]
            marks = [repr(value) for name, value in sorted(view.__dict__.items()) if name != "__wrapped__"]
            yield rule.endpoint, rule.rule, view.__code__, view.__doc__, tuple(marks)
        for record in self._app.gate.records:
            yield record.id, tuple(mount.path for mount in record.mounts if record.alive)


class _Answer:
    """An answer on its way out: its status, content type, and the whole of a body of JSON."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.status: int | None = None
        self.media = ""
        self._body = bytearray()
        self._ended = False

    async def send(self, message: Any) -> None:
        """Pass a message on, and note it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {bytes(name).lower(): bytes(value) for name, value in message.get("headers", ())}
            self.media = headers.get(b"content-type", b"").decode("latin1").partition(";")[0].strip()
        elif message["type"] == "http.response.body":
            if self.media in ("application/json", ""):
                self._body += message.get("body", b"")
            self._ended = not message.get("more_body", False)
        await self._send(message)

    @property
    def body(self) -> bytes | None:
        """The body; None if it was cut off."""
        return bytes(self._body) if self._ended else None


def _pointer(part: str) -> str:
    """Return one part of a JSON pointer in a URI fragment (RFC 6901, 6)."""
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
