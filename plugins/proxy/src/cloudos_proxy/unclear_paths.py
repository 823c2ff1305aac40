"""Paths that Caddy and an app may read as two: refused where the paths of one name do not let in the same people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from cloudos_proxy.hostnames import covers
from cloudos_proxy.sites import Site

# Dot segments, empty segments, parameters of segments (RFC 3986, 3.3), backslashes, and what is none of these until it
# is decoded, once or twice: slashes, backslashes, dots, semicolons, percent signs and control characters.
_UNCLEAR = r"(?i)^[^?]*?(?://|/\.{1,2}(?:[/?]|$)|[;\\]|%(?:2f|5c|2e|3b|25|[01][0-9a-f]|7f))"
_REFUSAL = "This address can be read in more than one way. Ask for its plain form.\n"


def unclear_path_refusals(sites: Sequence[Site]) -> list[dict[str, Any]]:
    """Return the routes that refuse unclear paths; none where no name needs it. `sites` are ordered by name."""
    by_name = {name: list(found) for name, found in groupby(sites, key=lambda site: site.hostname)}
    wildcards = [name for name in by_name if name.startswith("*.")]
    mixed = []
    for name, own in by_name.items():
        beside = [site for wildcard in wildcards if covers(wildcard, name) for site in by_name[wildcard]]
        paths = {site.path_prefix for site in own}
        if paths != {""} and len({_rule(site) for site in (*own, *beside)}) > 1:
            mixed.append(name)
    if not mixed:
        return []
    match = {"host": sorted(mixed), "vars_regexp": {"{http.request.uri}": {"pattern": _UNCLEAR}}}
    answer = {"handler": "static_response", "status_code": 400, "body": _REFUSAL}
    return [{"match": [match], "handle": [answer], "terminal": True}]


def _rule(site: Site) -> object:
    """Return who may come in, of which two paths of one name may differ."""
    limits = site.limits
    return site.ui, site.require_auth, limits.allowed_roles, limits.ip_allow, limits.basic_auth
