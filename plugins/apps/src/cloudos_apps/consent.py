"""What each app was allowed: given by a person, stored with the app, and compared each time that it is used."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context
from sqlalchemy import select, update
from sqlmodel import Session

from cloudos_apps.events import AppRightsAllowed
from cloudos_apps.host_paths import HostPaths
from cloudos_apps.models import App
from cloudos_apps.mounts import Mount, astray, check_nesting, mounts_of, of_others, packed
from cloudos_apps.rights import Right, check_consent, other_rights, path_rights, rights_of, texts_of
from cloudos_apps.store import template_of
from cloudos_apps.templates.model import Template

_TABLE = App.__table__


@dataclass(frozen=True)
class Look:
    """What the machine's disk said about a template's paths when it was looked at."""

    rights: Collection[Right]
    mounts: Sequence[Mount]


@dataclass(frozen=True)
class Given:
    """What a row keeps of a template's rights and paths, as JSON."""

    rights: str
    mounts: str


class Consent:
    """Compares what a template asks for with what was allowed."""

    def __init__(self, ctx: Context, paths: HostPaths) -> None:
        self._ctx = ctx
        self._paths = paths

    def asked(self, template: Template, ports: Mapping[str, int | None]) -> tuple[list[str], list[str]]:
        """Return the dangers and the rights of a template, for who is to decide on them. Reads the disk."""
        rights = rights_of(template, ports, self._paths)
        return sorted({right.danger for right in rights}), texts_of(rights)

    async def look(self, template: Template) -> Look:
        """Look at the paths of a template, before the transaction: a disk may not answer, and all others would wait."""
        return await asyncio.to_thread(
            lambda: Look(path_rights(template, self._paths), mounts_of(template, self._paths))
        )

    async def check_at_once(
        self, template: Template, ports: Mapping[str, int | None], app: App | None, allow: Collection[str]
    ) -> None:
        """Refuse early what `take` would refuse; see there."""
        asked = await asyncio.to_thread(rights_of, template, ports, self._paths)
        check_consent(template.display_name, asked, _stored(app), allow)

    def take(
        self,
        session: Session,
        app_id: str,
        name: str,
        template: Template,
        ports: Mapping[str, int | None],
        look: Look,
        app: App | None,
        allow: Collection[str],
    ) -> Given:
        """Return what a template's row is to keep, and tell what is new in it, in the transaction that stores it.

        `app` is the row as it is, None for a new one. Raises Forbidden for what nobody allowed, Conflict for a folder
        that lies in one that an app can write.
        """
        asked = {*look.rights, *other_rights(template, ports)}
        new = check_consent(template.display_name, asked, _stored(app), allow)
        check_nesting(name, look.mounts, of_others(session, app_id))
        if new:
            texts = texts_of(new)
            details = f"Allowed {name}: {', '.join(texts)}"
            self._ctx.events.emit(session, AppRightsAllowed(resource=app_id, name=name, rights=texts, details=details))
        return Given(orjson.dumps(texts_of(asked)).decode(), packed(look.mounts))

    async def recheck(self, app: App) -> None:
        """Compare an app with what it was allowed, now that its containers are made or started. Raises Conflict."""
        await self._recheck(app, template_of(app), orjson.loads(app.ports), _stored(app))

    async def recheck_change(self, app: App, template: Template, given: Mapping[str, Any]) -> tuple[str, str]:
        """Compare the template of an update with what was allowed when it began; return the row's rights and mounts.

        An update that an older version began has none: then what the app had been allowed counts.
        """
        stored = orjson.loads(given["rights"]) if "rights" in given else _stored(app)
        asked = await self._recheck(app, template, given["ports"], stored)
        return orjson.dumps(asked).decode(), await self.mounts(template)

    async def mounts(self, template: Template) -> str:
        """Return the paths of a template as a row keeps them."""
        return packed((await self.look(template)).mounts)

    async def _recheck(
        self, app: App, template: Template, ports: Mapping[str, int], stored: Collection[str]
    ) -> list[str]:
        look = await self.look(template)
        asked = texts_of({*look.rights, *other_rights(template, ports)})
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

    async def fill_in(self) -> None:
        """Give rows of before there were rights those that their templates ask for: they were allowed as a whole."""
        rows = await self._ctx.db.read(
            lambda s: s.execute(select(App).where(_TABLE.c.rights.is_(None))).scalars().all()
        )
        lost = await asyncio.to_thread(lambda: astray([template_of(app) for app in rows], self._paths)) if rows else ()
        for app in rows:
            values = await asyncio.to_thread(self._as_it_is, app, lost)

            def store(session: Session, id: str = app.id, values: Mapping[str, str] = values) -> None:
                session.execute(update(_TABLE).where(_TABLE.c.id == id).values(**values))

            await self._ctx.db.write(store)

    def _as_it_is(self, app: App, lost: Collection[str]) -> dict[str, str]:
        """Return what a row is given. To a path that an app may have turned elsewhere, nobody gave consent."""
        if app.status == "failed":
            return {"rights": "[]", "mounts": "[]"}
        template = template_of(app)
        rights = texts_of(rights_of(without(template, lost), orjson.loads(app.ports), self._paths))
        mounts = packed(mounts_of(template, self._paths, lost))
        return {"rights": orjson.dumps(rights).decode(), "mounts": mounts}


def without(template: Template, paths: Collection[str]) -> Template:
    """Return a template without some paths of the machine."""
    services = tuple(
        service.model_copy(update={"volumes": tuple(v for v in service.volumes if v.host_path not in paths)})
        for service in template.services
    )
    return template.model_copy(update={"services": services})


def _stored(app: App | None) -> Collection[str]:
    return orjson.loads(app.rights or "[]") if app is not None else ()
