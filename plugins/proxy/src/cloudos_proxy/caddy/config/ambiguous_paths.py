"""Ambiguous paths, which Caddy and an app may parse differently: refused on names with differing access rules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.hostnames import covers

# Dot segments, empty segments, parameters of segments (RFC 3986, 3.3), backslashes, and what is none of these until it
# is decoded, once or twice: slashes, backslashes, dots, semicolons, percent signs and control characters.
_UNCLEAR = r"(?i)^[^?]*?(?://|/\.{1,2}(?:[/?]|$)|[;\\]|%(?:2f|5c|2e|3b|25|[01][0-9a-f]|7f)"
COMPATIBLE = (
    "\u037e\u2024\u2025\u2026\u2100\u2101\u2105\u2106\u33c2\u33c7\u33d8\ufe14\ufe19\ufe30\ufe52\ufe54\ufe68\ufe6a"
    "\uff05\uff0e\uff0f\uff1b\uff3c\U0001f100" + "".join(map(chr, range(0x2488, 0x249C)))
)
"""What the compatibility forms of Unicode (NFKC) make a dot, a slash or another of these of: full-width dots."""
_UNCLEAR += "|" + "|".join(quote(each) for each in COMPATIBLE) + ")"

# UTF-8 as it stands in a path (Unicode, table 3-7), to the query: %c0%ae is no dot, except to some.
_TAIL = "%[89ab][0-9a-f]"
_UTF_8 = (
    f"[^%?]|%[0-7][0-9a-f]|%(?:c[2-9a-f]|d[0-9a-f]){_TAIL}"
    f"|(?:%e0%[ab][0-9a-f]|%e[1-9abcef]{_TAIL}|%ed%[89][0-9a-f]){_TAIL}"
    f"|(?:%f0%[9ab][0-9a-f]|%f[1-3]{_TAIL}|%f4%8[0-9a-f]){_TAIL}{_TAIL}"
)
_CLEAR = rf"(?i)^(?:{_UTF_8})*(?:\?.*)?$"
_REFUSAL = "This address can be read in more than one way. Ask for its plain form.\n"


def unclear_path_refusals(sites: Sequence[Site]) -> list[dict[str, Any]]:
    """Return the routes that refuse ambiguous paths; empty if no name needs them. `sites` are ordered by name."""
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
    unclear = {"vars_regexp": {"{http.request.uri}": {"pattern": _UNCLEAR}}}
    clear = {"vars_regexp": {"{http.request.uri}": {"pattern": _CLEAR}}}
    names = {"host": sorted(mixed)}
    answer = {"handler": "static_response", "status_code": 400, "body": _REFUSAL}
    return [{"match": [{**names, **unclear}, {**names, "not": [clear]}], "handle": [answer], "terminal": True}]


def _rule(site: Site) -> object:
    """Return the access rule of a site, by which the paths of one name may differ."""
    limits = site.limits
    return site.ui, site.require_auth, limits.allowed_roles, limits.ip_allow, limits.basic_auth
