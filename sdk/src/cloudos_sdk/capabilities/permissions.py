"""Which permissions there are: the scopes that an API key may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cloudos_sdk.manifest import Permission


class PermissionCatalogue(Protocol):
    """The permissions that the enabled plugins declare; provided by the host."""

    def permissions(self) -> Mapping[str, Permission]:
        """Return them by name."""
        ...
