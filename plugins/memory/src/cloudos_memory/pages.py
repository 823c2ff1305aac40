"""What the memory brings to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Column, Form, Page, RowAction, Table

from cloudos_memory.schemas import NewKey

PAGES = UI(
    pages=(
        Page(
            path="/memory",
            title="Memory",
            icon="brain",
            menu="main",
            order=60,
            permission="memory:read",
            declared=(
                Table(
                    title="Keys of AI clients",
                    source="/api/mcp/keys",
                    columns=(
                        Column(key="name", title="Name"),
                        Column(key="client_type", title="Client"),
                        Column(key="namespace", title="Namespace"),
                        Column(key="scopes", title="Scopes", kind="list"),
                        Column(key="last_used_at", title="Last used", kind="time"),
                        Column(key="expires_at", title="Expires", kind="time"),
                    ),
                    empty="A key lets an AI client remember things on this node.",
                    create=Form(
                        title="Make a key",
                        schema=NewKey,
                        target="/api/mcp/keys",
                        method="POST",
                        submit="Make",
                        permission="memory:write",
                        show="raw",
                    ),
                    actions=(
                        RowAction(
                            title="Rotate",
                            method="POST",
                            path="/api/mcp/keys/{id}/rotate",
                            confirm="The client needs the new key; the old one is refused at once.",
                            permission="memory:write",
                            show="raw",
                        ),
                        RowAction(
                            title="Revoke",
                            method="DELETE",
                            path="/api/mcp/keys/{id}",
                            confirm="The client is refused from its next request on.",
                            permission="memory:write",
                        ),
                    ),
                ),
                Table(
                    title="Connected now",
                    source="/api/mcp/sessions",
                    columns=(
                        Column(key="client_name", title="Client"),
                        Column(key="transport", title="Transport"),
                        Column(key="ip", title="Address", kind="code"),
                        Column(key="calls", title="Calls", kind="number"),
                        Column(key="last_active_at", title="Last active", kind="time"),
                    ),
                    empty="No client is connected.",
                    actions=(
                        RowAction(
                            title="Disconnect",
                            method="DELETE",
                            path="/api/mcp/sessions/{id}",
                            permission="memory:write",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
