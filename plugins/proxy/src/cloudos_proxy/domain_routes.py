"""The domain endpoints."""

from __future__ import annotations

from quart import Blueprint

domain_routes = Blueprint("domains", __name__)
