"""What apps bring to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Page, Widget

PAGES = UI(
    assets="cloudos_apps.ui",
    pages=(
        Page(
            path="/apps/*",
            title="Apps",
            icon="apps",
            order=10,
            module="apps.js",
            style="apps.css",
            permission="apps:read",
        ),
        Page(
            path="/store/*",
            title="App store",
            icon="store",
            order=20,
            module="store.js",
            style="apps.css",
            permission="apps:read",
        ),
    ),
    widgets=(
        Widget(id="apps", title="Apps", icon="apps", module="widget.js", style="apps.css", permission="apps:read"),
    ),
)
