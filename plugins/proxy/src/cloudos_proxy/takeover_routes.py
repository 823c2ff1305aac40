"""Takeover of the web ports, their release, and the snippets for another web server in front."""

from __future__ import annotations

from quart import Blueprint

takeover_routes = Blueprint("proxy_takeover", __name__)
