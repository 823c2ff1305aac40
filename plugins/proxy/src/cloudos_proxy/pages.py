"""What the proxy brings to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Column, Form, Page, RowAction, Table

from cloudos_proxy.domains.schemas import DomainChange, NewDomain
from cloudos_proxy.routes.schemas import NewRoute, RouteChange

_ROUTES = Table(
    title="Routes",
    source="/api/proxy/routes",
    columns=(
        Column(key="hostname", title="Name"),
        Column(key="status", title="State", kind="state"),
        Column(key="upstream_type", title="To"),
        Column(key="upstream_addr", title="Address", kind="code"),
        Column(key="require_auth", title="Sign-in", kind="boolean"),
        Column(key="error", title="Error"),
    ),
    empty="A route leads a name to an app.",
    create=Form(
        title="Add a route",
        schema=NewRoute,
        target="/api/proxy/routes",
        method="POST",
        submit="Add",
        permission="proxy:write",
    ),
    edit=Form(title="Change the route", schema=RouteChange, target="/api/proxy/routes/{id}", permission="proxy:write"),
    actions=(
        RowAction(
            title="Remove",
            method="DELETE",
            path="/api/proxy/routes/{id}",
            confirm="The name leads nowhere once the routes are applied.",
            permission="proxy:write",
        ),
    ),
    events=("route.", "app."),
)
_DOMAINS = Table(
    title="Domains",
    source="/api/domains",
    columns=(
        Column(key="domain", title="Domain"),
        Column(key="ssl.status", title="Certificate", kind="state"),
        Column(key="ssl.provider", title="Issuer"),
        Column(key="created_at", title="Added", kind="time"),
    ),
    empty="No domains yet.",
    create=Form(
        title="Add a domain",
        schema=NewDomain,
        target="/api/domains",
        method="POST",
        submit="Add",
        permission="domains:write",
    ),
    edit=Form(title="Change the domain", schema=DomainChange, target="/api/domains/{id}", permission="domains:write"),
    actions=(
        RowAction(
            title="Remove",
            method="DELETE",
            path="/api/domains/{id}",
            confirm="The domain and its certificate are removed.",
            permission="domains:write",
        ),
    ),
    events=("domain.", "certificate."),
)
_APPLIED = Table(
    title="Applied",
    source="/api/proxy/history",
    columns=(
        Column(key="created_at", title="When", kind="time"),
        Column(key="reason", title="Why"),
        Column(key="routes", title="Routes", kind="number"),
        Column(key="applied_by", title="By"),
        Column(key="current", title="In force", kind="boolean"),
    ),
    actions=(
        RowAction(
            title="Go back to it",
            method="POST",
            path="/api/proxy/rollback/{id}",
            confirm="The routes are as they were then.",
            permission="proxy:write",
        ),
    ),
    events=("route.",),
)

PAGES = UI(
    pages=(
        Page(
            path="/routes",
            title="Routes and domains",
            icon="globe",
            menu="settings",
            order=30,
            declared=(_ROUTES, _DOMAINS, _APPLIED),
            permission="proxy:read",
        ),
    ),
)
