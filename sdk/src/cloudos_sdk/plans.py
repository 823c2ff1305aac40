"""Plans, their feature flags and limits: reference, "Billing and Licensing", and the contract's "Plans"."""

from __future__ import annotations

PLANS = ("community", "pro", "business", "enterprise")

ORBIT_FEATURES = {
    "orbit_collab": "Real-time collaboration",
    "orbit_graph": "The notes graph",
    "orbit_full_formulas": "Formulas 21 to 80",
    "orbit_charts": "Pie, area and scatter charts",
    "orbit_pivot": "Pivot tables",
    "orbit_history": "Long version history",
    "orbit_advanced_export": "Binary export",
    "orbit_memory_sync": "Memory sync between nodes",
    "orbit_unlimited_shares": "Unlimited share links",
    "orbit_slides_themes": "Slides themes",
}
"""Key and title of each flag, in the order of the reference. All false on community, true above it."""

LIMITS: dict[str, dict[str, int | None]] = {
    "community": {"share_links_max": 3, "mcp_rate_per_minute": 30, "version_history_hours": 24},
    "pro": {"share_links_max": None, "mcp_rate_per_minute": 120, "version_history_hours": 2160},
    "business": {"share_links_max": None, "mcp_rate_per_minute": 600, "version_history_hours": 4320},
    "enterprise": {"share_links_max": None, "mcp_rate_per_minute": None, "version_history_hours": 8760},
}


def includes(plan: str, required: str) -> bool:
    """Return whether `plan` is `required` or higher."""
    return PLANS.index(plan) >= PLANS.index(required)
