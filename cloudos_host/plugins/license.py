"""The plan, its feature flags and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cloudos_sdk import Feature, UpgradeRequired
from cloudos_sdk.capabilities import PlanSource
from cloudos_sdk.plans import LIMITS, ORBIT_FEATURES, PLANS, includes


class PlanLicense:
    """Asks the plan source at each question, so that a new plan holds on the next request."""

    def __init__(self, find: Callable[[type[PlanSource]], PlanSource | None]) -> None:
        self._find = find
        self._features = {key: Feature(key, title) for key, title in ORBIT_FEATURES.items()}

    def declare(self, features: Iterable[Feature]) -> None:
        """Add a plugin's features."""
        self._features.update({feature.key: feature for feature in features})

    def knows(self, feature: str) -> bool:
        """Return whether a plugin declares `feature`."""
        return feature in self._features

    @property
    def plan(self) -> str:
        """The plan in force; community without a source, or with one that names no plan."""
        source = self._find(PlanSource)
        plan = source.current_plan() if source is not None else "community"
        return plan if plan in PLANS else "community"

    def has(self, feature: str) -> bool:
        """Return whether the plan includes `feature`."""
        return includes(self.plan, self._features[feature].required_plan)

    def require(self, feature: str) -> None:
        """Raise UpgradeRequired if the plan does not include `feature`."""
        wanted = self._features[feature]
        plan = self.plan
        if not includes(plan, wanted.required_plan):
            message = f"{wanted.title} requires Orbit {wanted.required_plan.capitalize()}."
            raise UpgradeRequired(feature, message, current_plan=plan, required_plan=wanted.required_plan)

    def limit(self, name: str) -> int | None:
        """Return a limit of the plan; None is unlimited."""
        return LIMITS[self.plan][name]

    def projection(self) -> dict[str, Any]:
        """Return `GET /api/license/orbit-features` as the reference prints it."""
        plan = self.plan
        return {
            "plan": plan,
            "features": {key: includes(plan, self._features[key].required_plan) for key in ORBIT_FEATURES},
            "limits": dict(LIMITS[plan]),
        }
