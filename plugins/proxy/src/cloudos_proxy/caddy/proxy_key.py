"""How the node knows its own Caddy: by a key in a header, which visitors cannot know and upstreams never see.

A loopback peer proves nothing: any process of the machine, and a container in its network, is one.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cloudos_sdk.addresses import parse_address
from cloudos_sdk.context import Secrets

from cloudos_proxy.caddy.config.visitor_headers import KEY, VISITOR


class ProxyKey:
    """The key, made from the host's own: it is the same after a restart, so that a document stays the same."""

    def __init__(self, secrets: Secrets) -> None:
        # the second: versions before let Caddy write the first into its log
        self.text = secrets.digest("the second key by which Caddy is known")

    def visitor(self, header: Callable[[str], str | None]) -> str | None:
        """Return the visitor's address if the request carries the key, else None."""
        given = header(KEY)
        if given is None or not hmac.compare_digest(given.encode("utf-8", "replace"), self.text.encode()):
            return None
        return parse_address(header(VISITOR))
