"""What every test of the repository shares: the real components, and CI's rule that nothing is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
