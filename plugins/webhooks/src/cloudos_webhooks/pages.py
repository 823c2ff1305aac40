"""What webhooks bring to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Column, Form, Page, RowAction, Table

from cloudos_webhooks.schemas import NewWebhook, WebhookChange

_WRITE = "webhooks:write"

PAGES = UI(
    pages=(
        Page(
            path="/webhooks",
            title="Webhooks",
            icon="hook",
            menu="settings",
            order=40,
            permission="webhooks:read",
            declared=(
                Table(
                    source="/api/webhooks",
                    columns=(
                        Column(key="url", title="Address"),
                        Column(key="status", title="State", kind="state"),
                        Column(key="active", title="Active", kind="boolean"),
                        Column(key="events", title="Events", kind="list"),
                        Column(key="last_delivered_at", title="Last delivery", kind="time"),
                        Column(key="waiting", title="Waiting", kind="number"),
                    ),
                    empty="A webhook tells another server what happens on this node.",
                    create=Form(
                        title="Add a webhook",
                        schema=NewWebhook,
                        target="/api/webhooks",
                        method="POST",
                        submit="Add",
                        permission=_WRITE,
                        show="secret",
                    ),
                    edit=Form(
                        title="Change the webhook", schema=WebhookChange, target="/api/webhooks/{id}", permission=_WRITE
                    ),
                    actions=(
                        RowAction(title="Test", method="POST", path="/api/webhooks/{id}/test", permission=_WRITE),
                        RowAction(
                            title="New secret",
                            method="POST",
                            path="/api/webhooks/{id}/rotate-secret",
                            confirm="The receiver must be given the new secret; the old one holds for a while.",
                            permission=_WRITE,
                            show="secret",
                        ),
                        RowAction(
                            title="Remove",
                            method="DELETE",
                            path="/api/webhooks/{id}",
                            confirm="The webhook and the list of its deliveries are removed.",
                            permission=_WRITE,
                        ),
                    ),
                    events=("webhook.",),
                ),
            ),
        ),
    ),
)
