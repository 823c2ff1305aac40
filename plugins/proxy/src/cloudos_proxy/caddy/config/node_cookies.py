"""The node's cookies stay its own: no upstream is sent one, and none sets one.

Most names are cleaned by one handler for them all, since Caddy reads each regular expression anew at each load. A name
that leads to the node keeps them, and a gated route is judged by them first; what stands beside such cleans by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.hostnames import covers

# What a browser or a reader of cookies takes for the beginning of one; the names are the node's by how they begin, so
# that one which comes later is among them. A cookie may have no name: `=cloudos_…` comes back without the `=`.
_NAME = r"(?:__(?:Host|Secure)-)?cloudos_"
_OURS = rf"[^;,A-Za-z0-9!#$%&'*+.^_`|~-]*{_NAME}"
_SENT = rf"(?i)^(?:{_OURS}[^;,]*(?:[;,]\s*|$))+|[;,]{_OURS}[^;,]*"
_SET = rf"(?i)^[^;A-Za-z0-9!#$%&'*+.^_`|~-]*{_NAME}.*$"

WITHOUT_OWN = {
    "handler": "headers",
    "request": {"replace": {"Cookie": [{"search_regexp": _SENT, "replace": ""}]}},
}
"""The handler that takes them off a request, each from each `Cookie` header."""

UNSET_OWN: dict[str, Any] = {"replace": {"Set-Cookie": [{"search_regexp": _SET, "replace": ""}]}}
"""What is changed of an answer: a cookie of the node's name, set for a whole domain, would stand in for the node's."""


def keepers_of(sites: Iterable[Site]) -> frozenset[str]:
    """Return the names that are not cleaned as a whole: they lead to the node, or a gate before them sets some."""
    return frozenset(site.hostname for site in sites if site.ui or site.require_auth)


def cleaned_but(keepers: frozenset[str]) -> list[dict[str, Any]]:
    """Return the route that strips the node's cookies on all other names; it comes before the sites."""
    match = {"match": [{"not": [{"host": sorted(keepers)}]}]} if keepers else {}
    answers = {"handler": "headers", "response": {**UNSET_OWN, "deferred": True}}
    return [{**match, "handle": [WITHOUT_OWN, answers]}]


def cleans_itself(site: Site, keepers: frozenset[str]) -> bool:
    """Return whether a site must strip the cookies itself: it may receive requests for a name that keeps them."""
    return not site.ui and _beside(site.hostname, keepers)


def _beside(hostname: str, names: frozenset[str]) -> bool:
    """Return whether a hostname's route and one of `names` may match the same request."""
    if hostname in names or f"*.{hostname.partition('.')[2]}" in names:
        return True
    return hostname.startswith("*.") and any(covers(hostname, name) for name in names)
