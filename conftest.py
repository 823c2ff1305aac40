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
    if path.stem not in ("__init__", "ports")
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and those that share a component, together where several workers run them."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        shared = [name for name in _SHARED if name in getattr(item, "fixturenames", ())]
        item.add_marker(pytest.mark.xdist_group(shared[0] if shared else str(item.path)))
