"""What the system brings to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Page, Widget

_READ = "system:read"

PAGES = UI(
    assets="cloudos_system.ui",
    pages=(
        Page(
            path="/usage",
            title="Usage",
            icon="chart",
            menu="system",
            order=10,
            module="usage.js",
            style="system.css",
            permission=_READ,
        ),
    ),
    widgets=(
        Widget(id="cpu", title="Processor", icon="cpu", module="cpu.js", size=(1, 1), permission=_READ),
        Widget(id="ram", title="Memory", icon="memory", module="ram.js", size=(1, 1), permission=_READ),
        Widget(id="network", title="Network", icon="network", module="network.js", size=(2, 2), permission=_READ),
        Widget(id="storage", title="Storage", icon="disk", module="storage.js", size=(2, 1), permission=_READ),
    ),
)
