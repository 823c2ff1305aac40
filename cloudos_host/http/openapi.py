"""The OpenAPI document: read from the routes, the marks of the gate, and the models of requests and answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from cloudos_sdk.capabilities import SESSION_COOKIE
from cloudos_sdk.http import Problem, UpgradeNeeded, answers_of
from cloudos_sdk.policy import Policy
from pydantic import TypeAdapter
from quart_schema.validation import (
    QUART_SCHEMA_QUERYSTRING_ATTRIBUTE,
    QUART_SCHEMA_REQUEST_ATTRIBUTE,
    QUART_SCHEMA_RESPONSE_ATTRIBUTE,
)
from werkzeug.routing import IntegerConverter, Rule

from cloudos_host import __version__
from cloudos_host.http.gate import Endpoint
from cloudos_host.plugins.registry import PluginRecord

_CONVERTER = re.compile(r"<(?:[^<>]*:)?([^<>:]+)>")
_SAFE = frozenset({"get", "head", "options"})
_METHODS = ("get", "put", "post", "delete", "patch")
_HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After"}
_SCHEMES = {
    "session": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token."},
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "qzr_…",
        "description": "An API key with the scope that is named.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A browser's session; over HTTPS the name begins with `__Host-`. Only with `csrf`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "The `csrf_token` of the answer that signed the browser in; reads need it too.",
    },
}


def path_of(rule: Rule) -> str:
    """Return a rule's path in OpenAPI's form: `/api/notes/{note_id}`."""
    return _CONVERTER.sub(r"{\1}", rule.rule)


def document(
    rules: Iterable[Rule], views: Mapping[str, Any], endpoints: Mapping[str, Endpoint], records: Iterable[PluginRecord]
) -> dict[str, Any]:
    """Return the document of these routes, and of the mounts of these plugins."""
    by_plugin: dict[str, tuple[PluginRecord, list[Rule]]] = {r.id: (r, []) for r in records if r.alive and r.mounts}
    for rule in rules:
        endpoint = endpoints.get(rule.endpoint)
        if endpoint is not None and not rule.websocket:
            by_plugin.setdefault(endpoint.record.id, (endpoint.record, []))[1].append(rule)
    paths: dict[str, dict[str, Any]] = {}
    schemas = _Models("").of({"error": (Problem, "serialization"), "upgrade": (UpgradeNeeded, "serialization")})[1]
    schemes, tags = dict(_SCHEMES), []
    for record, own in by_plugin.values():
        section = _Plugin(record, own, views, endpoints)
        for path, operations in section.paths.items():
            paths.setdefault(path, {}).update(operations)
        schemas |= section.schemas
        schemes |= section.schemes
        tags.append({"name": record.id, "description": record.manifest.title if record.manifest else record.id})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cloud OS API", "version": __version__},
        "tags": tags,
        "paths": paths,
        "components": {"schemas": schemas, "responses": _errors(), "securitySchemes": schemes},
    }


class _Models:
    """The schemas of one plugin's models, each a component under the plugin's name."""

    def __init__(self, prefix: str) -> None:
        self._template = f"#/components/schemas/{prefix}{{model}}"
        self._prefix = prefix

    def of(self, models: Mapping[Any, tuple[Any, Any]]) -> tuple[dict[Any, Any], dict[str, Any]]:
        """Return the schema of each model (and "validation" or "serialization") by its key, and the components."""
        inputs = [(key, mode, TypeAdapter(model)) for key, (model, mode) in models.items()]
        if not inputs:
            return {}, {}
        found, defined = TypeAdapter.json_schemas(inputs, ref_template=self._template)
        components = {f"{self._prefix}{name}": _untitled(schema) for name, schema in defined.get("$defs", {}).items()}
        return {key: schema for (key, _), schema in found.items()}, components


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a component without titles: they repeat its name, and generators take them for it."""
    for described in (schema, *schema.get("properties", {}).values()):
        described.pop("title", None)
    return schema


class _Plugin:
    """The paths and components of one plugin."""

    def __init__(
        self, record: PluginRecord, rules: Iterable[Rule], views: Mapping[str, Any], endpoints: Mapping[str, Endpoint]
    ) -> None:
        self.paths: dict[str, dict[str, Any]] = {}
        self.schemes: dict[str, Any] = {}
        self._id = record.id
        rules = list(rules)
        wanted: dict[Any, tuple[Any, Any]] = {}
        for endpoint in dict.fromkeys(rule.endpoint for rule in rules):
            view = views[endpoint]
            if (query := getattr(view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE, None)) is not None:
                wanted[endpoint, "query"] = (query, "validation")
            if (body := getattr(view, QUART_SCHEMA_REQUEST_ATTRIBUTE, None)) is not None:
                wanted[endpoint, "body"] = (body[0], "validation")
            for status, (model, _) in getattr(view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {}).items():
                wanted[endpoint, int(status)] = (model, "serialization")
        self._found, self.schemas = _Models(f"{record.id}.").of(wanted)
        queries = {self._name(schema) for (_, kind), schema in self._found.items() if kind == "query"}
        self._queries = {name: self.schemas.pop(name) for name in queries if name in self.schemas}
        for rule in rules:
            item = self.paths.setdefault(path_of(rule), {})
            methods = [method for method in _METHODS if method.upper() in (rule.methods or ())]
            for method in methods:
                operation = self._operation(rule, method, views[rule.endpoint], endpoints[rule.endpoint].policy)
                operation["operationId"] = _operation_id(rule.endpoint) + (f"_{method}" if len(methods) > 1 else "")
                item[method] = operation
        for mount in record.mounts:
            for path, described in mount.paths.items():
                self.paths[path] = {
                    method: self._mounted(path, method, operation, mount.policy)
                    for method, operation in described.items()
                }

    def _operation(self, rule: Rule, method: str, view: Any, policy: Policy) -> dict[str, Any]:
        summary, _, description = (inspect.getdoc(view) or view.__name__).partition("\n")
        operation = {"tags": [self._id], "summary": summary, "security": self._needs(policy)}
        if description.strip():
            operation["description"] = description.strip()
        parameters = [_path_parameter(name, converter) for name, converter in rule._converters.items()]
        parameters += self._query_parameters(rule.endpoint)
        if parameters:
            operation["parameters"] = parameters
        if method not in _SAFE and (body := self._body(rule.endpoint, policy)) is not None:
            operation["requestBody"] = body
        operation["responses"] = self._responses(rule.endpoint, view, method, policy, placed=bool(rule._converters))
        return operation

    def _mounted(self, path: str, method: str, described: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
        name = re.sub(r"\W+", "_", path).strip("_")
        errors = {status: _error(status) for status in _refusals(method, policy)}
        return {
            "tags": [self._id],
            "security": self._needs(policy),
            "operationId": f"{self._id}_{name}_{method}",
            **described,
            "responses": _sorted({**errors, **described.get("responses", {})}),
        }

    def _needs(self, policy: Policy) -> list[dict[str, list[str]]]:
        """Return the security requirements of an operation, as alternatives."""
        if policy.access == "public":
            return []
        if policy.access == "bearer":
            name = f"{self._id}Key"
            self.schemes[name] = {"type": "http", "scheme": "bearer", "bearerFormat": f"{policy.bearer}…"}
            return [{name: []}]
        scopes = [policy.permission] if policy.permission is not None else []
        keys = [] if policy.access == "in_person" else [{"apiKey": scopes}]
        return [{"session": scopes}, *keys, {"cookie": scopes, "csrf": []}]

    def _query_parameters(self, endpoint: str) -> list[dict[str, Any]]:
        found = self._found.get((endpoint, "query"))
        if found is None:
            return []
        schema = self._queries.get(self._name(found), found)
        return [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), **_parameter(about)}
            for name, about in schema.get("properties", {}).items()
        ]

    def _body(self, endpoint: str, policy: Policy) -> dict[str, Any] | None:
        schema = self._found.get((endpoint, "body"))
        if schema is not None:
            needed = self.schemas.get(self._name(schema), schema).get("required", ())
            return {"required": bool(needed), "content": {"application/json": {"schema": schema}}}
        if policy.media_types == Policy().media_types:
            return None
        return {"required": True, "content": {media: {"schema": _content(media)} for media in policy.media_types}}

    def _responses(self, endpoint: str, view: Any, method: str, policy: Policy, *, placed: bool) -> dict[str, Any]:
        responses: dict[Any, Any] = {status: _error(status) for status in _refusals(method, policy, placed=placed)}
        for (named, status), schema in self._found.items():
            if named == endpoint and isinstance(status, int):
                responses[status] = _success(status, {"application/json": {"schema": schema}})
        for status, media in answers_of(view):
            if status >= 400:
                responses[status] = _error(status) if media is None else _problem(status)
            response = responses.setdefault(status, _success(status))
            if media is not None:
                response.setdefault("content", {})[media] = {"schema": _content(media)}
        if not any(status < 400 for status in responses):
            responses["default"] = {"description": "The plugin does not describe it."}
        return _sorted(responses)

    @staticmethod
    def _name(schema: Mapping[str, Any]) -> str:
        return str(schema.get("$ref", "")).rpartition("/")[2]


def _operation_id(endpoint: str) -> str:
    """Return a unique operation id: plugin, blueprint if it has another name, and view."""
    plugin, _, rest = endpoint.partition(":")
    blueprint, _, view = rest.rpartition(".")
    if blueprint == plugin or blueprint.startswith(f"{plugin}_"):
        return f"{blueprint}_{view}"
    return f"{plugin}_{blueprint}_{view}"


def _refusals(method: str, policy: Policy, *, placed: bool = False) -> list[int]:
    """Return the errors that the gate may answer for an operation."""
    found = [400, 500, 503]
    if policy.access != "public":
        found += [401, 403]
    if policy.features:
        found.append(402)
    if placed:
        found.append(404)
    if method not in _SAFE:
        found += [408, 409, 413, 415]
    if policy.rate is not None:
        found.append(429)
    return found


def _error(status: int) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/{_error_name(status)}"}


def _error_name(status: int) -> str:
    return "".join(re.findall(r"[A-Za-z]+", HTTPStatus(status).phrase.title()))


def _errors() -> dict[str, Any]:
    """Return the errors as components, each in the contract's shape."""
    return {_error_name(status): _problem(status) for status in HTTPStatus if status >= 400}


def _problem(status: int) -> dict[str, Any]:
    model = "UpgradeNeeded" if status == HTTPStatus.PAYMENT_REQUIRED else "Problem"
    schema = {"$ref": f"#/components/schemas/{model}"}
    response = _success(status, {"application/json": {"schema": schema}})
    if status in _HEADERS:
        response["headers"] = {_HEADERS[status]: {"schema": {"type": "string"}}}
    return response


def _success(status: int, content: dict[str, Any] | None = None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if content is not None:
        response["content"] = content
    return response


def _sorted(responses: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(status): responses[status] for status in sorted(responses, key=str)}


def _content(media: str) -> dict[str, Any]:
    """Return the schema of a body that no model describes."""
    if media == "application/json":
        return {"type": "object"}
    return {"type": "string"} if media.startswith("text/") else {"type": "string", "format": "binary"}


def _path_parameter(name: str, converter: Any) -> dict[str, Any]:
    kind = {"type": "integer", "minimum": 0} if isinstance(converter, IntegerConverter) else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": kind}


def _parameter(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a query parameter: one that is not sent is absent, never null."""
    schema = {key: value for key, value in about.items() if key not in ("title", "description", "deprecated")}
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    schema |= choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {}
    if schema.get("default", ...) is None:
        del schema["default"]
    return {"schema": schema, **{key: about[key] for key in ("description", "deprecated") if key in about}}
