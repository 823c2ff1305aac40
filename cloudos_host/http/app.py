"""The Quart application: one gate before every view, orjson, models answered as they are."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

import orjson
from cloudos_sdk.json_text import read_json
from pydantic import BaseModel
from quart import Quart, Response, websocket
from quart.json.provider import JSONProvider
from werkzeug.exceptions import NotFound
from werkzeug.routing import MapAdapter

from cloudos_host.containment import contained
from cloudos_host.http import errors
from cloudos_host.http.gate import Gate
from cloudos_host.http.open_responses import OpenResponses
from cloudos_host.http.openapi import document
from cloudos_host.http.quart_fast_path import FastHTTPConnection, HeldWebsocket
from cloudos_host.http.request_body import CountedRequest


class OrjsonProvider(JSONProvider):
    """JSON by orjson; pydantic models as their JSON form."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return JSON text."""
        return orjson.dumps(obj, default=_plain).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse JSON text of a client. Raises InvalidRequest."""
        return read_json(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a JSON response."""
        body = args[0] if len(args) == 1 else (args or kwargs or None)
        return Response(orjson.dumps(body, default=_plain), content_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")


class CloudOSApp(Quart):
    """Quart with answers of models in one step; `served` counts them by blueprint and status."""

    asgi_http_class = FastHTTPConnection
    asgi_websocket_class = HeldWebsocket
    request_class = CountedRequest
    fast_path = True
    gate: Gate
    open_answers: OpenResponses

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.served: Counter[tuple[str, int]] = Counter()
        self.root_rule: Any = None
        """The rule `/` of the plugin that answers what nothing else owns; None without one."""
        self.routes_changed = 0
        """Counts up whenever routes are added; what is made of them is made again then."""

    async def full_dispatch_request(self, request_context: Any = None) -> Any:
        """Admit, dispatch and answer one request; without Quart's signals, which nothing uses."""
        try:
            self._take_root(request_context.request)
            await self.gate.admit(request_context.request)
            result: Any = await self.preprocess_request(request_context) if self._hooked else None
            if result is None:
                result = await contained(self.dispatch_request(request_context))
        except Exception as error:  # noqa: BLE001 # the handlers of problems.py answer it
            result = await self.handle_user_exception(error)
        return await self.finalize_request(result, request_context)

    async def dispatch_websocket(self, websocket_context: Any = None) -> Any:
        """Run the view of a WebSocket."""
        return await contained(super().dispatch_websocket(websocket_context))

    def _take_root(self, request: Any) -> None:
        """Have the root plugin answer the reading of a path that no rule has and no plugin owns.

        It is no rule of its own for every path, which would make 404 of 405 and 200 of 404.
        """
        if self.root_rule is None or not isinstance(request.routing_exception, NotFound):
            return
        if request.method in ("GET", "HEAD") and self.gate.is_free(request.path):
            request.routing_exception = None
            request.url_rule, request.view_args = self.root_rule, {}

    async def finalize_request(self, result: Any, request_context: Any = None, from_error_handler: bool = False) -> Any:
        """Make the response, and count it."""
        if request_context is None or self._hooked or request_context._after_request_functions:
            response = await super().finalize_request(result, request_context, from_error_handler)
        else:
            response = await self.make_response(result)
        endpoint = request_context.request.endpoint if request_context is not None else None
        self.served[endpoint.partition(":")[0] if endpoint else "none", response.status_code] += 1
        return response

    def create_url_adapter(self, request: Any) -> MapAdapter | None:
        """Bind the routes to a request; without reading its host, of which no route and only a redirect asks."""
        host = request.headers.get("Host", "") if request is not None else ""
        if request is None or not host.isascii():
            return super().create_url_adapter(request)
        root, path, query = request.root_path, request.path, request.query_string.decode()
        return MapAdapter(self.url_map, host, root, "", request.scheme, path, request.method, query)

    async def do_teardown_request(self, exc: Any, request_context: Any = None) -> None:
        """Tear down a request if a blueprint registered a teardown; sends no signal."""
        if self._hooked:
            await super().do_teardown_request(exc, request_context)

    def register_blueprint(self, blueprint: Any, **options: Any) -> None:
        """Register a blueprint, also while requests are served: optional plugins are started beside them."""
        self.routes_changed += 1
        super().register_blueprint(blueprint, **options)
        self.__dict__.pop("_hooked", None)

    def _check_setup_finished(self, f_name: str) -> None:
        """Allow registrations after the first request, which Quart forbids."""

    @cached_property
    def _hooked(self) -> bool:
        """Whether a blueprint has something to do before, after or at the end of its requests."""
        kinds = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.url_value_preprocessors,
        )
        return any(functions for kind in kinds for functions in kind.values())

    async def make_response(self, result: Any) -> Any:
        """Encode a model at once, whatever status and headers come with it."""
        value, *rest = result if isinstance(result, tuple) else (result,)
        if isinstance(value, BaseModel):
            value = Response(value.model_dump_json(), content_type="application/json")
        elif isinstance(value, list):
            value = self.json.response(value)
        rest = [part for part in rest if part is not None]
        return await super().make_response((value, *rest) if rest else value)


def make_app(log: Any, max_body: int) -> CloudOSApp:
    """Return an application without routes."""
    app = CloudOSApp("cloudos", static_folder=None)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["QUART_SCHEMA_CONVERT_CASING"] = False
    app.config["QUART_SCHEMA_CONVERSION_PREFERENCE"] = "pydantic"
    app.config["QUART_SCHEMA_PYDANTIC_DUMP_OPTIONS"] = {}
    errors.install(app, log)
    return app


def guard(app: CloudOSApp, gate: Gate) -> None:
    """Put the gate before every view."""

    async def admit_websocket() -> None:
        at_hand: Any = websocket
        await gate.admit(at_hand._get_current_object())

    app.gate = gate
    app.before_websocket(admit_websocket)


def describe(app: CloudOSApp) -> dict[str, Any]:
    """Return the OpenAPI document of the registered routes."""
    return document(list(app.url_map.iter_rules()), app.view_functions, app.gate.endpoints, app.gate.records)
