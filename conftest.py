"""What every test of the repository shares: the real components, and CI's rule that nothing is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("cloudos", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
hypothesis.settings.load_profile("cloudos")  # how fast examples are made says how busy the machine is

pytest_plugins = [
    f"components.{path.stem}"
    for path in sorted((Path(__file__).parent / "tests" / "components").glob("*.py"))
    if path.stem not in ("__init__", "ports", "changed_files")
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Turn a skip into a failure where every component must be there (CLOUDOS_REQUIRE_COMPONENTS=1)."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CLOUDOS_REQUIRE_COMPONENTS") == "1":
        report.outcome = "failed"
    return report


_SHARED = ("docker_engine", "wheels", "mcp_clients", "pebble_server")
"""Components that start once in a run: what uses one of them goes to one worker."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--changed`."""
    parser.addoption("--changed", action="store_true", help="run the tests that the change since origin/main touches")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests of `--changed`; keep those of a file, or of a shared component, in one worker."""
    if config.getoption("changed"):
        from components.changed_files import changed_files, touched

        wanted = touched(changed_files(config.rootpath))
        if wanted is not None:
            places = {item: str(item.path.relative_to(config.rootpath)) for item in items}
            chosen = [item for item in items if any(f"{places[item]}/".startswith(f"{place}/") for place in wanted)]
            config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
            items[:] = chosen
    if not config.pluginmanager.hasplugin("xdist"):
        return
    groups: dict[Path, str] = {}
    for item in items:
        shared = [name for name in _SHARED if name in getattr(item, "fixturenames", ())]
        if shared:
            groups.setdefault(item.path, shared[0])
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups.get(item.path, str(item.path))))
