"""Creates, changes and deletes routes. Changes are staged until an apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from cloudos_sdk import Conflict, Context, InvalidRequest, NotImplementedHere, iso, new_id

from cloudos_proxy.caddy.supervisor import CaddySupervisor
from cloudos_proxy.events import RouteCreated, RouteDeleted, RouteUpdated
from cloudos_proxy.hostnames import BadHostname, normalise
from cloudos_proxy.routes.model import UI_ID, RouteRow, fields_changed
from cloudos_proxy.routes.node_names import NodeNames
from cloudos_proxy.routes.options import (
    RATE_LIMIT_MODULE,
    check_prefix,
    opened,
    plain,
    plain_options,
    sealed,
    secret_options,
    shown,
    stored,
)
from cloudos_proxy.routes.request_headers import headers_refusal
from cloudos_proxy.routes.schemas import NewRoute, Options, RouteChange
from cloudos_proxy.routes.store import RouteStore
from cloudos_proxy.routes.upstream_resolver import Resolver
from cloudos_proxy.upstreams.policy import BadUpstream, normal


class WildcardCheck(Protocol):
    """Says when a wildcard name may have a route."""

    async def refusal(self, hostname: str) -> str | None:
        """Return why `*.example.com` may have no route, or None."""


class RouteService:
    """The routes of this node."""

    def __init__(
        self,
        ctx: Context,
        routes: RouteStore,
        resolver: Resolver,
        door: CaddySupervisor,
        wildcards: WildcardCheck,
        names: NodeNames,
    ) -> None:
        self._ctx = ctx
        self._routes = routes
        self._resolver = resolver
        self._door = door
        self._wildcards = wildcards
        self._names = names

    def shown(self, row: RouteRow) -> dict[str, Any]:
        """Return a route as the API shows it."""
        found: dict[str, Any] = {"id": row.id, "hostname": row.hostname, "upstream_type": row.upstream_type}
        if row.upstream_id is not None:
            found["upstream_id"] = row.upstream_id
        if row.upstream_addr is not None:
            found["upstream_addr"] = row.upstream_addr
        found |= {"require_auth": row.require_auth, "status": row.status, "created_at": iso(row.created_at)}
        found["kind"] = row.kind
        if row.error is not None:
            found["error"] = row.error
        return found | shown(row, self._ctx.secrets)

    async def create(self, given: NewRoute) -> RouteRow:
        """Make a route. Raises InvalidRequest, and Conflict for a name that has one."""
        now = self._ctx.clock.now()
        row = RouteRow(
            id=new_id("route"),
            kind="custom",
            hostname=await self._hostname(given.hostname),
            path_prefix=check_prefix(given.path_prefix),
            upstream_type=given.upstream_type,
            upstream_id=given.upstream_id,
            upstream_addr=given.upstream_addr,
            require_auth=given.require_auth,
            options="",
            secret_options="",
            app_id=None,
            status="pending",
            error=None,
            created_at=now,
            updated_at=now,
            by_admin=self._names.by_admin(),
        )
        self._names.admit(row)
        row = await self._with_options(await self._with_target(row), given)
        async with self._routes.lock:
            row = replace(row, by_admin=self._names.by_admin())  # anew: to look at its target may have taken seconds
            self._names.admit(row)
            self._refuse_taken(row)
            made = RouteCreated(resource=row.id, details=f"Made a route for {row.hostname}", hostname=row.hostname)
            await self._routes.put([row], events=[made])
        return row

    async def change(self, route_id: str, given: RouteChange, *, confirm: bool) -> RouteRow:
        """Change a route; to re-point the apex must be confirmed.

        Raises NotFound, InvalidRequest, Conflict, and Forbidden for the node's own names.
        """
        self._routes.get(route_id)
        hostname = await self._hostname(given.hostname) if given.hostname is not None else None
        async with self._routes.lock:
            before = self._routes.get(route_id)
            self._names.admit(before)
            row = before
            if hostname is not None and hostname != before.hostname:
                if before.kind == "apex":
                    raise Conflict(
                        "apex_hostname_fixed", "The apex is the base domain: change the setting base_domain."
                    )
                row = replace(row, hostname=hostname)
            if "path_prefix" in given.model_fields_set:
                row = replace(row, path_prefix=self._prefix(before, given.path_prefix))
            if given.require_auth is not None:
                row = replace(row, require_auth=given.require_auth)
            row = await self._with_options(await self._retargeted(row, given), given)
            if before.kind == "apex" and row.target != before.target and not confirm:
                raise Conflict(
                    "apex_repoint_requires_confirm",
                    "Re-pointing the apex domain will move the OS UI away from this address. Resubmit with"
                    " ?confirm=true to proceed.",
                )
            self._names.admit(row)
            self._refuse_taken(row)
            fields = fields_changed(before, row)
            if not fields and (before.by_admin or self._names.refusal(before) is None or not self._names.by_admin()):
                return before
            row = replace(row, status="pending", error=None, updated_at=self._ctx.clock.now())
            row = replace(row, by_admin=self._names.by_admin())
            told = RouteUpdated(
                resource=row.id,
                details=f"Changed the route of {row.hostname}: {', '.join(fields)}",
                hostname=row.hostname,
                fields=fields,
            )
            await self._routes.put([row], events=[told])
        return row

    async def delete(self, route_id: str) -> None:
        """Delete a route; it is served until the next apply. Raises NotFound; Conflict for the apex and apps."""
        self._routes.get(route_id)
        apps = await self._resolver.apps()
        installed = None if apps is None else {id for id, app in apps.items() if app.status != "failed"}
        async with self._routes.lock:
            row = self._routes.get(route_id)
            self._names.admit(row)
            if row.kind == "apex" or (row.kind == "app" and (installed is None or row.app_id in installed)):
                what = "the apex" if row.kind == "apex" else "an app that is installed"
                raise Conflict(
                    "route_protected", f"{row.hostname} is the route of {what}: it can be re-pointed, not deleted."
                )
            gone = RouteDeleted(resource=row.id, details=f"Deleted the route of {row.hostname}", hostname=row.hostname)
            await self._routes.put(gone=[row.id], events=[gone])

    async def _hostname(self, given: str) -> str:
        try:
            name = normalise(given)
        except BadHostname as error:
            raise InvalidRequest.field("hostname", str(error)) from None
        if name.startswith("*."):
            refusal = await self._wildcards.refusal(name)
            if refusal is not None:
                raise InvalidRequest.field("hostname", refusal)
        return name

    def _prefix(self, before: RouteRow, given: str | None) -> str:
        prefix = check_prefix(given)
        if prefix and before.kind == "apex":
            raise Conflict("apex_hostname_fixed", "The apex is the whole base domain and has no path of its own.")
        return prefix

    async def _retargeted(self, row: RouteRow, given: RouteChange) -> RouteRow:
        named = given.model_fields_set & {"upstream_type", "upstream_id", "upstream_addr"}
        if not named:
            return row
        type = given.upstream_type or row.upstream_type
        kept = type == row.upstream_type
        id = given.upstream_id if "upstream_id" in named else row.upstream_id if kept else None
        addr = given.upstream_addr if "upstream_addr" in named else row.upstream_addr if kept else None
        return await self._with_target(replace(row, upstream_type=type, upstream_id=id, upstream_addr=addr))

    async def _with_target(self, row: RouteRow) -> RouteRow:
        if row.upstream_type == "app":
            if not row.upstream_id:
                raise InvalidRequest.field("upstream_id", "an app's id is needed")
            if row.upstream_addr is not None:
                raise InvalidRequest.field("upstream_addr", "an app's address is found by itself; leave it out")
            apps = await self._resolver.apps()
            if apps is not None and row.upstream_id not in apps:  # None is: nobody can tell now
                raise InvalidRequest.field("upstream_id", f"there is no app {row.upstream_id!r}")
            return row
        if row.upstream_type == "ui":
            if row.upstream_addr is not None or row.upstream_id not in (None, UI_ID):
                raise InvalidRequest.field("upstream_id", f"the OS UI needs no id and no address; its id is {UI_ID}")
            return replace(row, upstream_id=None)
        if row.upstream_id is not None:
            raise InvalidRequest.field("upstream_id", "a manual upstream has an upstream_addr only")
        if not row.upstream_addr:
            raise InvalidRequest.field("upstream_addr", "host:port is needed")
        try:
            row = replace(row, upstream_addr=normal(row.upstream_addr))
            await self._resolver.check_manual(row.upstream_addr or "")
        except BadUpstream as error:
            raise InvalidRequest.field("upstream_addr", str(error)) from None
        return row

    async def _with_options(self, row: RouteRow, given: Options) -> RouteRow:
        if given.rate_limit is not None and RATE_LIMIT_MODULE not in await self._door.modules():
            raise NotImplementedHere(
                "rate_limit_unavailable",
                f"The Caddy here lacks the module {RATE_LIMIT_MODULE} (github.com/mholt/caddy-ratelimit); name one"
                " that has it by CLOUDOS_PROXY__CADDY_PROGRAM.",
                module=RATE_LIMIT_MODULE,
            )
        options = plain_options(given, plain(row))
        secrets = self._ctx.secrets
        hidden = await secret_options(given, opened(row.secret_options, secrets))
        if (refusal := headers_refusal(hidden.get("request_headers", {}).items(), self._names.owns)) is not None:
            raise InvalidRequest.field("request_headers", refusal)
        if options.get("allowed_roles") and not row.require_auth:
            raise InvalidRequest.field("allowed_roles", "roles are known only with require_auth")
        kept = sealed(hidden, row.secret_options, secrets) if hidden else ""
        return replace(row, options=stored(options), secret_options=kept)

    def _refuse_taken(self, row: RouteRow) -> None:
        other = self._routes.at(row.hostname, row.path_prefix)
        if other is not None and other.id != row.id:
            raise Conflict("hostname_taken", f"{row.hostname}{row.path_prefix} has a route already.", route_id=other.id)
