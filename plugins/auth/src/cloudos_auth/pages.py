"""What the sign-in brings to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Page

PAGES = UI(
    assets="cloudos_auth.ui",
    pages=(
        Page(path="/account", title="Your account", icon="user", menu="none", module="account.js", style="auth.css"),
        Page(
            path="/people",
            title="People",
            icon="users",
            menu="settings",
            order=10,
            module="people.js",
            style="auth.css",
            permission="users:read",
        ),
        Page(path="/keys", title="API keys", icon="key", menu="settings", order=20, module="keys.js", style="auth.css"),
    ),
)
