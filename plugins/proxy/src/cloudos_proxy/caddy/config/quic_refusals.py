"""Names behind the gate are not served over HTTP/3: such a connection has no socket that could be shut down.

A browser that comes by QUIC all the same is told by 421 to come by another connection, and does so by itself (RFC 9110,
15.5.20); `Alt-Svc: clear` has it forget the way (RFC 7838, 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudos_proxy.caddy.config.site import Site


def quic_refusals(sites: Iterable[Site]) -> list[dict[str, Any]]:
    """Return the routes before the sites if HTTP/3 is served; empty if no name requires sign-in."""
    gated = sorted({site.hostname for site in sites if site.require_auth and not site.ui})
    if not gated:
        return []
    refusal = {"handler": "static_response", "status_code": 421, "headers": {"Alt-Svc": ["clear"]}}
    silence = {"handler": "headers", "response": {"delete": ["Alt-Svc"], "deferred": True}}
    return [
        {"match": [{"host": gated, "protocol": "http/3"}], "handle": [refusal], "terminal": True},
        {"match": [{"host": gated}], "handle": [silence]},
    ]
