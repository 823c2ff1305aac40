"""Persons in front of the web interface, whose browser must find nothing wrong with it. Needs Debian's chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

_BUILT = Path(__file__).parents[2] / "plugins" / "ui" / "src" / "cloudos_ui" / "static" / ".stamp"
_VIOLATIONS = """window.violations = [];
document.addEventListener("securitypolicyviolation",
    (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));"""


class Watch:
    """What one browser said: errors of the console and of scripts, violations of the policy, requests to elsewhere."""

    def __init__(self, context: Any, node: str) -> None:
        self._node = urlsplit(node).netloc
        self._origins = {self._node}
        self.faults: list[str] = []
        self.expected: list[str] = ["ERR_NETWORK_CHANGED"]  # tests beside make and remove interfaces
        context.add_init_script(_VIOLATIONS)
        context.on("page", self._follow)
        context.on("request", self._ask)

    def expect(self, *parts: str) -> None:
        """Have errors of the console that hold one of these texts be none."""
        self.expected += parts

    def allow(self, url: str) -> None:
        """Have requests to an address be none to elsewhere: that of an app that is opened."""
        self._origins.add(urlsplit(url).netloc)

    def check(self, context: Any) -> None:
        """Fail where something was wrong."""
        for page in context.pages:
            if self._ours(page.url) and page.url.startswith("http"):
                self.faults += [f"policy: {each}" for each in page.evaluate("window.violations ?? []")]
        wrong = [fault for fault in self.faults if not any(part in fault for part in self.expected)]
        assert not wrong, "\n".join(wrong)

    def _follow(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}") if self._ours(page.url) else None)
        page.on("console", self._hear)

    def _hear(self, said: Any) -> None:
        if said.type == "error" and self._ours(said.location["url"]):
            self.faults.append(f"console: {said.text} {said.location['url']}")

    def _ours(self, url: str) -> bool:
        """Tell whether it is the node's page, and not an app's that was opened from it."""
        return not url.startswith("http") or urlsplit(url).netloc == self._node

    def _ask(self, request: Any) -> None:
        place = urlsplit(request.url)
        if place.scheme in ("http", "https") and place.netloc not in self._origins:
            self.faults.append(f"request to elsewhere: {request.url}")


@pytest.fixture
def person(chromium: Any) -> Iterator[Any]:
    """Return what makes pages: `page = person(url)` is a new person in front of a node, as `page.watch` sees it."""
    if not _BUILT.is_file():
        pytest.skip("the web interface is not built: make ui (it takes npm's packages from the network)")
    contexts = []

    def come(url: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, "locale": "en-GB", **options})
        context.set_default_timeout(15_000)
        watch = Watch(context, url)
        contexts.append((context, watch))
        page = context.new_page()
        page.watch, page.node = watch, url
        return page

    yield come
    for context, watch in contexts:
        try:
            watch.check(context)
        finally:
            context.close()
