"""Find the installed plugins by entry point, without importing any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import cloudos_sdk
from importlib_metadata import EntryPoint, entry_points

GROUP = "cloudos.plugins"
PREFIXES = "cloudos.prefixes"
"""The group in which a distribution may state each prefix of a plugin, for when that cannot be imported."""

_MAJOR, _MINOR = cloudos_sdk.__version__.split(".")[:2]
_USUAL = f"<{_MAJOR}.{int(_MINOR) + 1},>={_MAJOR}.{_MINOR}"  # what the scaffold writes, as metadata has it


@dataclass(frozen=True)
class DiscoveredPlugin:
    """A plugin as found in its distribution's metadata; `module` is set for one given as an object."""

    id: str
    target: str
    distribution: str
    version: str
    sdk: str | None = None
    error: str | None = None
    module: ModuleType | None = None
    stated: tuple[str, ...] = ()
    """The prefixes that its metadata states."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes that are known without an import."""
        return self.stated or (f"/api/{self.id}",)


def discover() -> list[DiscoveredPlugin]:
    """Return every installed plugin, by id. Two distributions with one id are both an error."""
    by_id: dict[str, list[EntryPoint]] = {}
    points = entry_points()
    for point in points.select(group=GROUP):
        by_id.setdefault(point.name, []).append(point)
    stated: dict[str, list[str]] = {}
    for point in points.select(group=PREFIXES):
        stated.setdefault(point.value, []).append(point.name)
    found = []
    for id in sorted(by_id):
        claims = list({point.value: point for point in by_id[id]}.values())
        prefixes = tuple(sorted(prefix for point in claims for prefix in stated.get(point.value, ())))
        found.append(replace(_describe(id, claims), stated=prefixes))
    return found


def given(id: str, module: ModuleType) -> DiscoveredPlugin:
    """Return a plugin that is handed over as a module: tests and embedding."""
    return DiscoveredPlugin(id, module.__name__, "(given)", "0", module=module)


def _describe(id: str, points: Sequence[EntryPoint]) -> DiscoveredPlugin:
    point = points[0]
    if point.dist is None:
        return DiscoveredPlugin(id, point.value, "(unknown)", "0")
    about = point.dist.metadata  # parsed at each access
    distribution, version = about["Name"], about["Version"]
    if len(points) > 1:
        names = " and ".join(sorted({p.dist.name for p in points if p.dist is not None}))
        return DiscoveredPlugin(
            id, point.value, distribution, version, error=f"{names} both call themselves {id!r}; uninstall one"
        )
    sdk, error = _sdk_requirement(about.get_all("Requires-Dist") or [])
    return DiscoveredPlugin(id, point.value, distribution, version, sdk, error)


def _sdk_requirement(requirements: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the range of the SDK that a distribution asks for, and why ours is outside of it."""
    for text in requirements:
        if not text.startswith("cloudos-sdk"):
            continue
        if text == f"cloudos-sdk{_USUAL}":
            return _USUAL, None
        from packaging.requirements import InvalidRequirement, Requirement  # 13 ms, which a start does not have

        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.name == "cloudos-sdk" and (requirement.marker is None or requirement.marker.evaluate()):
            if not requirement.specifier.contains(cloudos_sdk.__version__, prereleases=True):
                return str(requirement.specifier), (
                    f"it is made for cloudos-sdk {requirement.specifier}, and {cloudos_sdk.__version__} is installed;"
                    " install a version of it that fits"
                )
            return str(requirement.specifier), None
    return None, None
