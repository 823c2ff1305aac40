"""What the audit log brings to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Page

PAGES = UI(
    assets="cloudos_audit.ui",
    pages=(
        Page(
            path="/audit",
            title="Audit log",
            icon="audit",
            menu="system",
            order=50,
            module="audit.js",
            permission="audit:read",
        ),
    ),
)
