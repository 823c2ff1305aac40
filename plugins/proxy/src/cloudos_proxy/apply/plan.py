"""The plan of an apply: routes to put in force, routes that stay, and conflicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cloudos_sdk.context import Secrets

from cloudos_proxy.caddy.config.site import Site
from cloudos_proxy.routes.model import RouteRow, Served, fields_changed
from cloudos_proxy.routes.options import limits, plain
from cloudos_proxy.routes.upstream_resolver import Unknown, Unresolved
from cloudos_proxy.upstreams.dial_names import dial_name
from cloudos_proxy.upstreams.policy import normal


@dataclass
class Plan:
    """The routes to be served, and how they differ from those that are."""

    served: list[Served] = field(default_factory=list)
    changed: list[Served] = field(default_factory=list)
    """Those of `served` that are new or otherwise than they are served now."""
    removed: list[Served] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """Why, by the id of the route."""
    unchanged: int = 0

    @property
    def changes(self) -> int:
        """How many staged changes there are."""
        return len(self.changed) + len(self.removed)

    def without(self, errors: Mapping[str, str], now: Mapping[str, Served], forbidden: Collection[str] = ()) -> Plan:
        """Return the plan without the changes of some routes, which are served as before.

        A forbidden address that is served is served no longer; a name is looked up, and judged, at each dial.
        """
        found = Plan(errors={**self.errors, **errors}, unchanged=self.unchanged, removed=list(self.removed))
        taken = {_place(each.row) for each in self.served if each.row.id not in errors}
        for each in self.served:
            before = now.get(each.row.id)
            if each.row.id not in errors:
                found.served.append(each)
            elif (
                before is not None
                and _place(before.row) not in taken  # by another, which may ask for a sign-in
                and not (each.row.id in forbidden and before.row.face == each.row.face)
            ):
                found.served.append(before)
                found.unchanged += 1
            elif before is not None:
                found.removed.append(before)
        found.changed = [each for each in self.changed if each.row.id not in errors]
        return found


def _place(row: RouteRow) -> tuple[str, str]:
    return row.hostname, row.path_prefix or ""


def plan(rows: Iterable[RouteRow], now: Mapping[str, Served], dial: Callable[[RouteRow], str]) -> Plan:
    """Return the plan from the served routes `now` to `rows`. `dial` raises Unresolved.

    A route that leads nowhere is served no longer; one of which that cannot be known now is served as it was.
    """
    found, kept = Plan(), []
    rows = list(rows)
    for row in rows:
        before = now.get(row.id)
        try:
            served = Served(row, dial(row))
        except Unresolved as error:
            found.errors[row.id] = str(error)
            if before is not None and isinstance(error, Unknown):
                kept.append(before)
            elif before is not None:
                found.removed.append(before)
            continue
        found.served.append(served)
        if before is None or before.dial != served.dial or before.row.face != row.face or row.status != "active":
            found.changed.append(served)
        else:
            found.unchanged += 1
    taken = {_place(each.row) for each in found.served}
    for before in kept:
        (found.removed if _place(before.row) in taken else found.served).append(before)
    ids = {row.id for row in rows}
    found.removed += [served for id, served in now.items() if id not in ids]
    return found


def sites(served: Iterable[Served], secrets: Secrets) -> list[Site]:
    """Return the routes as Caddy is to serve them."""
    return [
        _site(
            (row := each.row).id,
            row.hostname,
            (name := dial_name(each.dial) if row.upstream_type == "manual" else None) or _own_dial(each),
            row.path_prefix,
            row.require_auth,
            row.upstream_type == "ui",
            limits(row, secrets),
            name is not None,
        )
        for each in served
    ]


def _own_dial(served: Served) -> str:
    """Return the address that Caddy dials without a name lookup."""
    return normal(served.dial) if served.row.upstream_type == "manual" else served.dial


_site = lru_cache(maxsize=8192)(Site)


def access_changes(before: Mapping[str, Served], now: Mapping[str, Served]) -> dict[str, str | None]:
    """Return the roles of routes whose access may have changed; None for routes no longer served."""
    changed = (id for id in {**before, **now} if _face(before, id) != _face(now, id))
    return {id: ",".join(plain(now[id].row).get("allowed_roles", ())) if id in now else None for id in changed}


def gated_now(before: Mapping[str, Served], now: Mapping[str, Served]) -> list[str]:
    """Return the upstreams of routes that require sign-in now and did not before."""
    gated = {(each.row.hostname, each.row.path_prefix) for each in now.values() if _is_gated(each)}
    return sorted(
        {
            each.dial
            for each in before.values()
            if not _is_gated(each)
            and each.row.upstream_type != "ui"
            and (each.row.hostname, each.row.path_prefix) in gated
        }
    )


def _is_gated(served: Served) -> bool:
    return served.row.require_auth and served.row.upstream_type != "ui"


def _face(served: Mapping[str, Served], id: str) -> object:
    return served[id].row.face if id in served else None


def differences(made: Plan, now: Mapping[str, Served], unresolved: Sequence[RouteRow]) -> list[dict[str, object]]:
    """Return the changes of an apply, as the API shows them."""
    found: list[dict[str, object]] = []
    for served in [*made.changed, *(Served(row, "") for row in unresolved)]:
        row, before = served.row, now.get(served.row.id)
        fields = fields_changed(before.row, row) if before is not None else []
        if before is not None and served.dial != before.dial and not {"upstream_id", "upstream_addr"} & set(fields):
            fields.append("addr")
        change = "added" if before is None else "changed"
        found.append({"route_id": row.id, "hostname": row.hostname, "change": change, "fields": fields})
    for served in made.removed:
        row = served.row
        found.append({"route_id": row.id, "hostname": row.hostname, "change": "removed", "fields": []})
    return found
