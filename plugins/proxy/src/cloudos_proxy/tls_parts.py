"""What domains and certificates add to Caddy's document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloudos_proxy.sites import Site


@dataclass(frozen=True)
class TlsParts:
    """`app` is the document's `apps.tls`; the hostnames of `plain` are served without TLS; `sites` come beside the routes."""

    app: Mapping[str, Any] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()
    connection_policies: Sequence[Mapping[str, Any]] = ({},)
    sites: tuple[Site, ...] = ()
