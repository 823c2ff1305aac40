"""smartctl, as it is installed here."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture
def smartctl() -> str:
    """Return the path of the program."""
    found = shutil.which("smartctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip("no smartctl for the tests: apt-get install -y smartmontools")
    return found
