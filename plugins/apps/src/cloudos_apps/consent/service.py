"""Consent of each app: given by an admin, stored with the app, and compared at each use."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context, Forbidden, principal
from cloudos_sdk.capabilities import Users
from sqlalchemy import select, update
from sqlmodel import Session

from cloudos_apps.consent.host_paths import HostPaths, within
from cloudos_apps.consent.mounts import RequestedMount, astray, check_nesting, mounts_of, of_others, packed, unpacked
from cloudos_apps.consent.programs import program_rights
from cloudos_apps.consent.rights import (
    PathClaim,
    RequestedRight,
    check_consent,
    claims,
    of_path,
    other_rights,
    path_rights,
    rights_of,
    texts_of,
)
from cloudos_apps.events import AppRightsAllowed
from cloudos_apps.models import App
from cloudos_apps.store import template_of
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.model.template import Template

_TABLE = App.__table__


@dataclass(frozen=True)
class Look:
    """A snapshot of a template's paths on disk."""

    rights: Collection[RequestedRight]
    mounts: Sequence[RequestedMount]
    claims: Sequence[PathClaim]


@dataclass(frozen=True)
class GivenRights:
    """The allowed rights and paths of an app, stored as JSON."""

    rights: str
    mounts: str


class ConsentService:
    """Compares the rights that a template requests with those that were allowed."""

    def __init__(self, ctx: Context, paths: HostPaths) -> None:
        self._ctx = ctx
        self._paths = paths

    async def asked(
        self, template: Template, ports: Mapping[str, int | None], origin: str
    ) -> tuple[list[str], list[str]]:
        """Return the dangers and rights of a template for the deciding admin. Reads the disk."""
        look = await self.look(template)
        rights = await self._ctx.db.read(lambda s: self._asked(s, template, ports, origin, look, None, ()))
        return sorted({right.danger for right in rights}), texts_of(rights)

    async def look(self, template: Template) -> Look:
        """Look at the paths of a template, before the transaction: a disk may not answer, and all others would wait."""
        return await asyncio.to_thread(
            lambda: Look(
                path_rights(template, self._paths), mounts_of(template, self._paths), claims(template, self._paths)
            )
        )

    def _asked(
        self,
        session: Session,
        template: Template,
        ports: Mapping[str, int | None],
        origin: str,
        look: Look,
        app: App | None,
        stored: Collection[str],
    ) -> set[RequestedRight]:
        """Return every right that a template asks for, of the app whose row is given, with its program's."""
        asked = {*look.rights, *other_rights(template, ports), *self._taken(session, look, app, stored)}
        return asked | program_rights(template, origin, asked)

    def _taken(self, session: Session, look: Look, app: App | None, stored: Collection[str]) -> set[RequestedRight]:
        """Return the rights to names in the apps' files that another app has, or that were there before.

        What an app has without such a right was made for it; what it was given one for stays somebody else's.
        """
        if not look.claims:
            return set()
        others = [mount.real for _, mount in of_others(session, app.id if app is not None else None)]
        mine = {mount.real for mount in unpacked(app.mounts)} if app is not None else set()
        paths = (text.partition(":host_path:")[2].rpartition(":")[0] for text in stored)
        shared = {self._paths.named_in_files(path) for path in paths if self._paths.in_files(path)}
        return {
            claim.right
            for claim in look.claims
            if claim.path in shared
            or (claim.path not in mine and (claim.there or any(within(real, claim.path) for real in others)))
        }

    async def check_at_once(
        self,
        template: Template,
        ports: Mapping[str, int | None],
        origin: str,
        app: App | None,
        allow: Collection[str],
    ) -> None:
        """Raise early what `take` would raise."""
        look = await self.look(template)
        asked = await self._ctx.db.read(lambda s: self._asked(s, template, ports, origin, look, app, _stored(app)))
        check_consent(template.display_name, asked, _stored(app), allow)

    def take(
        self,
        session: Session,
        app_id: str,
        name: str,
        template: Template,
        ports: Mapping[str, int | None],
        origin: str,
        look: Look,
        app: App | None,
        allow: Collection[str],
    ) -> GivenRights:
        """Return the rights to store for an app and emit an event for new ones, in the storing transaction.

        `app` is the row as it is, None for a new one. Raises Forbidden for what nobody allowed, Conflict for a folder
        that lies in one that an app can write.
        """
        asked = self._asked(session, template, ports, origin, look, app, _stored(app))
        new = check_consent(template.display_name, asked, _stored(app), allow)
        check_nesting(name, look.mounts, of_others(session, app_id))
        if new:
            self._check_still_admin()
            texts = texts_of(new)
            details = f"Allowed {name}: {', '.join(texts)}"
            self._ctx.events.emit(session, AppRightsAllowed(resource=app_id, name=name, rights=texts, details=details))
        return GivenRights(orjson.dumps(texts_of(asked)).decode(), packed(look.mounts))

    def _check_still_admin(self) -> None:
        """Raise Forbidden if the admin lost the role since the request began."""
        who, users = principal(), self._ctx.find(Users)
        now = users.find(who.user_id) if users is not None else who
        if now is None or not now.role.includes(who.role):
            raise Forbidden("What you may do has changed since this request began.", code="rights_changed")

    async def recheck(self, app: App) -> None:
        """Compare an app with its consent before its containers are made or started. Raises Conflict."""
        await self._recheck(app, template_of(app), orjson.loads(app.ports), app.source or "", _stored(app))

    async def recheck_change(self, app: App, template: Template, given: Mapping[str, Any]) -> tuple[str, str]:
        """Compare an update's template with the consent from its start; return the rights and mounts to store.

        An update that an older version began has none: then what the app had been allowed counts.
        """
        stored = orjson.loads(given["rights"]) if "rights" in given else _stored(app)
        origin = given.get("source", app.source or "")
        if "source" not in given:  # it was begun when nobody asked for these
            known = {right for right in await asyncio.to_thread(rights_of, template, given["ports"], self._paths)}
            stored = [*stored, *texts_of(program_rights(template, origin, known))]
        asked = await self._recheck(app, template, given["ports"], origin, stored)
        return orjson.dumps(asked).decode(), await self.mounts(template)

    async def mounts(self, template: Template) -> str:
        """Return the paths of a template as a row keeps them."""
        return packed((await self.look(template)).mounts)

    async def _recheck(
        self, app: App, template: Template, ports: Mapping[str, int], origin: str, stored: Collection[str]
    ) -> list[str]:
        look = await self.look(template)
        asked = texts_of(await self._ctx.db.read(lambda s: self._asked(s, template, ports, origin, look, app, stored)))
        if new := [right for right in asked if right not in stored]:
            raise Conflict(
                "rights_changed",
                f"{app.name} was not allowed {', '.join(new)}. A path or a link of this machine has changed since; set"
                " it right, or change the app and name each in `allow`.",
                rights=new,
            )

        def check(session: Session) -> None:
            check_nesting(app.name, look.mounts, of_others(session, app.id))

        await self._ctx.db.read(check)
        return asked

    async def fill_in(self, catalogue: TemplateCatalog) -> None:
        """Give rows of before there were rights those that their templates ask for: they were allowed as a whole."""
        missing = _TABLE.c.rights.is_(None) | _TABLE.c.source.is_(None)
        rows = await self._ctx.db.read(lambda s: s.execute(select(App).where(missing)).scalars().all())
        if not rows:
            return
        old = [template_of(app) for app in rows if app.rights is None]
        lost = await asyncio.to_thread(astray, old, self._paths)
        origins = (await catalogue.listing()).origins
        for app in rows:
            origin = app.source or origins.get(app.template, "removed")
            values = await asyncio.to_thread(self._as_it_is, app, lost, origin)

            def store(session: Session, id: str = app.id, values: Mapping[str, str] = values) -> None:
                session.execute(update(_TABLE).where(_TABLE.c.id == id).values(**values))

            await self._ctx.db.write(store)

    def _as_it_is(self, app: App, lost: Collection[str], origin: str) -> dict[str, str]:
        """Return the rights of a row, without paths that an app may have redirected.

        Of a row that has rights, only what became part of them later is added: where links lead, and the program.
        """
        if app.status == "failed":
            return {"rights": "[]", "mounts": "[]", "source": origin}
        template, ports = template_of(app), orjson.loads(app.ports)
        if app.rights is None:
            rights = rights_of(without(template, lost), ports, self._paths)
            given = {right.text for right in rights}
            mounts = packed(mounts_of(template, self._paths, lost))
        else:
            rights, given = rights_of(template, ports, self._paths), {*_stored(app)}
            turned = {old: new for old, new in self._with_links(template) if old in given}
            given = {turned.get(text, text) for text in given}
            mounts = app.mounts or "[]"
        given |= {right.text for right in program_rights(template, origin, rights)}
        return {"rights": orjson.dumps(sorted(given)).decode(), "mounts": mounts, "source": origin}

    def _with_links(self, template: Template) -> Iterator[tuple[str, str]]:
        """Yield each right to a path as it was shown once, and as it is now: with the place that a link leads to."""
        for service in template.services:
            for volume in service.volumes:
                if (path := volume.host_path) is not None and not self._paths.free(path):
                    old = of_path(service.name, volume, path, self._paths, links=False)
                    yield old.text, of_path(service.name, volume, path, self._paths).text


def without(template: Template, paths: Collection[str]) -> Template:
    """Return a template without some paths of the machine."""
    services = tuple(
        service.model_copy(update={"volumes": tuple(v for v in service.volumes if v.host_path not in paths)})
        for service in template.services
    )
    return template.model_copy(update={"services": services})


def _stored(app: App | None) -> Collection[str]:
    return orjson.loads(app.rights or "[]") if app is not None else ()
