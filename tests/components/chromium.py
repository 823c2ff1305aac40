"""A real Chromium, for which every name under `.test` is this machine. Needs Debian's chromium and playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

INSTALL = "apt-get install chromium"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Return the browser; `chromium.new_page()` is a new person in front of it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip(f"no Chromium for the tests: {INSTALL}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        names = "--host-resolver-rules=MAP *.test 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=program, args=[names], chromium_sandbox=False)
        yield browser
        browser.close()
