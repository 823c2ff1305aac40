"""The route endpoints."""

from __future__ import annotations

from quart import Blueprint

routes = Blueprint("proxy", __name__)
