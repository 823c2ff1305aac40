"""The forward-auth endpoint and the hand-over of a sign-in."""

from __future__ import annotations

from quart import Blueprint

access_routes = Blueprint("proxy_access", __name__)
