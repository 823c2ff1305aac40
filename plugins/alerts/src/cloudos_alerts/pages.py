"""What alerts bring to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Column, Form, Page, RowAction, Table, Widget

from cloudos_alerts.schemas import NewChannel, NewRule

_FIRING = Table(
    title="Firing now",
    source="/api/alerts",
    columns=(
        Column(key="rule", title="Rule"),
        Column(key="severity", title="Severity", kind="state"),
        Column(key="summary", title="What"),
        Column(key="fired_at", title="Since", kind="time"),
        Column(key="acknowledged_by", title="Acknowledged by"),
    ),
    empty="Nothing fires.",
    actions=(
        RowAction(
            title="Acknowledge",
            method="POST",
            path="/api/alerts/{id}/acknowledge",
            permission="alerts:write",
        ),
    ),
    events=("alert.",),
)
_RULES = Table(
    title="Rules",
    source="/api/alerts/rules",
    columns=(
        Column(key="name", title="Name"),
        Column(key="state", title="State", kind="state"),
        Column(key="metric", title="Metric", kind="code"),
        Column(key="condition", title="Condition"),
        Column(key="threshold", title="Threshold", kind="number"),
        Column(key="duration", title="For"),
        Column(key="severity", title="Severity"),
    ),
    create=Form(
        title="Add a rule",
        schema=NewRule,
        target="/api/alerts/rules",
        method="POST",
        submit="Add",
        permission="alerts:write",
    ),
    edit=Form(title="Change the rule", schema=NewRule, target="/api/alerts/rules/{id}", permission="alerts:write"),
    actions=(
        RowAction(
            title="Remove",
            method="DELETE",
            path="/api/alerts/rules/{id}",
            confirm="The rule is removed; its alerts stay in the history.",
            permission="alerts:write",
        ),
    ),
    events=("alert.",),
)
_CHANNELS = Table(
    title="Channels",
    source="/api/alerts/channels",
    columns=(
        Column(key="name", title="Name"),
        Column(key="type", title="Type"),
        Column(key="status", title="State", kind="state"),
        Column(key="last_error", title="Last error"),
        Column(key="last_sent_at", title="Last sent", kind="time"),
    ),
    empty="Without a channel nobody is told.",
    create=Form(
        title="Add a channel",
        schema=NewChannel,
        target="/api/alerts/channels",
        method="POST",
        submit="Add",
        permission="alert-channels:write",
    ),
    actions=(
        RowAction(
            title="Test",
            method="POST",
            path="/api/alerts/channels/{id}/test",
            permission="alert-channels:write",
        ),
        RowAction(
            title="Remove",
            method="DELETE",
            path="/api/alerts/channels/{id}",
            confirm="The channel is removed.",
            permission="alert-channels:write",
        ),
    ),
    events=("alert.",),
)
_HISTORY = Table(
    title="History",
    source="/api/alerts/history",
    columns=(
        Column(key="rule", title="Rule"),
        Column(key="severity", title="Severity", kind="state"),
        Column(key="state", title="State", kind="state"),
        Column(key="summary", title="What"),
        Column(key="fired_at", title="Fired", kind="time"),
        Column(key="resolved_at", title="Ended", kind="time"),
    ),
    empty="There were no alerts yet.",
    paged=True,
    events=("alert.",),
)

PAGES = UI(
    pages=(
        Page(
            path="/alerts",
            title="Alerts",
            icon="alert",
            menu="system",
            order=20,
            declared=(_FIRING, _RULES, _CHANNELS, _HISTORY),
            permission="alerts:read",
        ),
    ),
    widgets=(
        Widget(
            id="alerts",
            title="Alerts",
            icon="alert",
            size=(2, 2),
            permission="alerts:read",
            declared=(
                Table(
                    source="/api/alerts",
                    columns=(Column(key="rule", title="Rule"), Column(key="severity", title="Severity", kind="state")),
                    empty="Nothing fires.",
                    events=("alert.",),
                ),
            ),
        ),
    ),
)
