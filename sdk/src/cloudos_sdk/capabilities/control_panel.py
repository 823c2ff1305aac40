"""Whether this node belongs to a Control Panel."""

from __future__ import annotations

from typing import Protocol


class ControlPanelLink(Protocol):
    """The connection to the Control Panel, for the sign-in page."""

    def connected(self) -> bool:
        """Return whether the node is connected."""
        ...
