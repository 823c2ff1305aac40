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


_WITH_ENGINE = (
    "plugins/apps/tests/",
    "plugins/backups/tests/",
    "plugins/proxy/tests/test_takeover.py",
    "tests/e2e/test_first_app.py",
    "tests/e2e/test_proved_backup.py",
    "tests/e2e/test_restored_node.py",
    "tests/e2e/test_ui_first_app.py",
)
"""The tests that use the Docker Engine. One worker runs them all: two engines break each other's rules."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each file to one worker, and all that use the engine to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class ByComponent(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "engine" if nodeid.startswith(_WITH_ENGINE) else super()._split_scope(nodeid)

    return ByComponent(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--changed`."""
    parser.addoption("--changed", action="store_true", help="run the tests that the change since origin/main touches")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the tests of `--changed`; refuse a use of the engine that the workers do not know of."""
    if config.getoption("changed"):
        from components.changed_files import changed_files, touched

        wanted = touched(changed_files(config.rootpath))
        if wanted is not None:
            places = {item: str(item.path.relative_to(config.rootpath)) for item in items}
            chosen = [item for item in items if any(f"{places[item]}/".startswith(f"{place}/") for place in wanted)]
            config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
            items[:] = chosen
    for item in items:
        if "docker_engine" in getattr(item, "fixturenames", ()) and not item.nodeid.startswith(_WITH_ENGINE):
            raise pytest.UsageError(
                f"{item.nodeid} uses the Docker Engine: add its file to _WITH_ENGINE in conftest.py"
            )
