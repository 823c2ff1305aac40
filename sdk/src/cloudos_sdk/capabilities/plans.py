"""The source of the node's plan."""

from __future__ import annotations

from typing import Protocol


class PlanSource(Protocol):
    """Returns the node's plan from memory: `community`, `pro`, `business` or `enterprise`."""

    def current_plan(self) -> str:
        """Return the plan in force now. Called on every gated request."""
        ...
