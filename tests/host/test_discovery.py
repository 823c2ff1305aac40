"""Plugins are found without being imported, and the range of the SDK that each asks for is held against ours."""

import subprocess
import sys

import cloudos_sdk
import pytest
from packaging.requirements import Requirement

from cloudos_host.plugins.discovery import _USUAL, _sdk_requirement


def test_a_start_imports_nothing_that_only_some_need():
    later = ["packaging", "cloudos_sdk.capabilities.notes", "cloudos_sdk.capabilities.mcp", "alembic", "docker", "mcp"]
    script = f"""
import sys, cloudos_host.cli.main, cloudos_host.host, cloudos_host.cli.server
from cloudos_host.plugins.discovery import discover
assert discover()
sys.exit(", ".join(name for name in {later} if name in sys.modules) or None)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_usual_range_has_our_sdk_in_it():
    assert Requirement(f"cloudos-sdk{_USUAL}").specifier.contains(cloudos_sdk.__version__)


@pytest.mark.parametrize(
    ("requirements", "asked", "fits"),
    [
        ([f"cloudos-sdk{_USUAL}"], _USUAL, True),
        (["aiohttp>=3", f"cloudos-sdk{_USUAL}"], _USUAL, True),
        (["cloudos-sdk >= 0.1"], ">=0.1", True),
        (["cloudos-sdk"], "", True),
        (["cloudos-sdk>=9"], ">=9", False),
        (["cloudos-sdk>=9; python_version < '3'", "cloudos-sdk>=0.1"], ">=0.1", True),
        (["cloudos-sdk>=9; python_version < '3'"], None, True),
        (["cloudos-sdk-extras>=9"], None, True),
        (["cloudos-sdk >>> 1"], None, True),
        ([], None, True),
    ],
)
def test_a_range_is_held_against_the_sdk_that_is_here(requirements, asked, fits):
    sdk, error = _sdk_requirement(requirements)
    assert sdk == asked and (error is None) == fits
    assert fits or "install a version of it that fits" in error
