"""The apps' rows. Each change of a row and the events that tell of it are one transaction."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from cloudos_sdk import Conflict, Context, Event, NotFound
from cloudos_sdk.capabilities import AppAddress
from sqlalchemy import delete, insert, or_, select, update
from sqlmodel import Session

from cloudos_apps.models import App
from cloudos_apps.templates.model.template import Template, Value

TABLE = App.__table__
STEADY = frozenset({"running", "stopped", "crashed"})
_SHORTEST_SECRET = 6
_URL_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")
BUSY = frozenset({"installing", "updating", "uninstalling"})
_NAMES = (
    "id",
    "name",
    "template",
    "version",
    "status",
    "addr",
    "ports",
    "error",
    "operation_id",
    "created_at",
    "updated_at",
)
_PORTS = _NAMES.index("ports")
_SHOWN = select(*(TABLE.c[name] for name in _NAMES)).order_by(TABLE.c.created_at.desc(), TABLE.c.id)
_TIMES = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


class AppStore:
    """Reads and changes the rows of one node's apps; also the capability `Apps`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Held by whoever works on an app."""
        self._listed: bytes | None = None
        self._changes = 0

    async def get(self, app_id: str) -> App:
        """Return an app. Raises NotFound."""
        app: App | None = await self._ctx.db.read(lambda s: s.get(App, app_id))
        if app is None:
            raise NotFound("app", app_id)
        return app

    async def all(self) -> Sequence[App]:
        """Return all apps, oldest first."""
        statement = select(App).order_by(TABLE.c.created_at, TABLE.c.id)
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().all())

    async def listed(self) -> bytes:
        """Return all apps as the API's JSON, newest first; cached until a row changes."""
        if self._listed is not None:
            return self._listed
        seen = self._changes
        rows = await self._ctx.db.read(lambda s: s.execute(_SHOWN).all())
        answer = orjson.dumps([_named(row) for row in rows], option=_TIMES)
        if seen == self._changes:
            self._listed = answer
        return answer

    def changing(self, session: Session) -> None:
        """Tell that rows change in this transaction, so that the list is read again after it."""
        self._ctx.db.after_commit(session, self._forget_list)

    def _forget_list(self) -> None:
        self._listed, self._changes = None, self._changes + 1

    async def list_apps(self) -> Sequence[AppAddress]:
        """Return all installed apps, oldest first (capability `Apps`); of one on trial nobody is told."""
        told = or_(TABLE.c.held.is_(None), TABLE.c.held != "trial")
        columns = select(TABLE.c.id, TABLE.c.name, TABLE.c.status, TABLE.c.addr).where(told)
        columns = columns.order_by(TABLE.c.created_at, TABLE.c.id)
        return await self._ctx.db.read(lambda s: [AppAddress(*row) for row in s.execute(columns)])

    async def find_app(self, app_id: str) -> AppAddress | None:
        """Return one app, or None (capability `Apps`)."""
        columns = select(TABLE.c.id, TABLE.c.name, TABLE.c.status, TABLE.c.addr).where(TABLE.c.id == app_id)
        row = await self._ctx.db.read(lambda s: s.execute(columns).first())
        return AppAddress(*row) if row is not None else None

    async def change(self, app_id: str, *events: Event, expect: Collection[str] | None = None, **values: Any) -> App:
        """Change a row and emit events. Raises NotFound, and Conflict `app_busy` if its status is not in `expect`."""

        def store(session: Session) -> App:
            self.changing(session)
            app: App | None = session.get(App, app_id)
            if app is None:
                raise NotFound("app", app_id)
            if expect is not None and app.status not in expect:
                raise busy(app)
            session.execute(
                update(TABLE).where(TABLE.c.id == app_id).values(**values, updated_at=self._ctx.clock.now())
            )
            for event in events:
                self._ctx.events.emit(session, event)
            session.expire_all()
            changed: App = session.get_one(App, app_id)
            session.refresh(changed)
            return changed

        return await self._ctx.db.write(store)

    async def forget(self, app_id: str, *events: Event) -> None:
        """Delete a row, and emit."""

        def drop(session: Session) -> None:
            self.changing(session)
            if session.execute(delete(TABLE).where(TABLE.c.id == app_id)).rowcount:  # type: ignore[attr-defined] # of a delete
                for event in events:
                    self._ctx.events.emit(session, event)
            self._ctx.db.after_commit(session, partial(self._unlock, app_id))

        await self._ctx.db.write(drop)

    def _unlock(self, app_id: str) -> None:
        self.locks.pop(app_id, None)

    def begin(self, session: Session, values: Mapping[str, Any]) -> None:
        """Insert a row in the current transaction. Raises Conflict `app_name_taken` if the name exists."""
        other = session.execute(select(TABLE.c.id, TABLE.c.status).where(TABLE.c.name == values["name"])).first()
        if other is not None and other.status != "failed":
            raise Conflict(
                "app_name_taken",
                f"There is an app named {values['name']} already; choose another name.",
                app_id=other.id,
            )
        if other is not None:  # of a failed install nothing is left but the row, which the new one replaces
            session.execute(delete(TABLE).where(TABLE.c.id == other.id))
        session.execute(insert(TABLE).values(**values))
        self.changing(session)

    async def failed(self, name: str) -> App | None:
        """Return the app of this name whose install failed, or None."""
        statement = select(App).where(TABLE.c.name == name, TABLE.c.status == "failed")
        return await self._ctx.db.read(lambda s: s.execute(statement).scalars().first())

    @staticmethod
    def taken_ports(session: Session, but: str | None = None) -> dict[int, str]:
        """Return the machine's ports that apps hold, with the app's name; without those of the app `but`."""
        held: dict[int, str] = {}
        for row in session.execute(select(TABLE.c.id, TABLE.c.name, TABLE.c.ports)):
            if row.id != but:
                held |= {port: row.name for port in orjson.loads(row.ports).values()}
        return held

    def config(self, app: App) -> dict[str, Value]:
        """Return an app's settings, decrypted."""
        values: dict[str, Value] = orjson.loads(self._ctx.secrets.decrypt(app.config))
        return values

    def details(self, app: App) -> bytes:
        """Return the JSON of one app with its services and settings, and the names of those that are secret."""
        template, config = template_of(app), self.config(app)
        secret = {field.name for field in template.config if field.hidden}
        details = {
            **_shown(app),
            "services": [service.name for service in template.services],
            "rights": orjson.loads(app.rights or "[]"),
            "config": {name: _without_password(value) for name, value in config.items() if name not in secret},
            "secrets": sorted(secret & set(config)),
        }
        return orjson.dumps(details, option=_TIMES)

    def hidden(self, app: App) -> list[str]:
        """Return the secrets of an app that are long enough not to be anything else, the longest first."""
        return hidden_in(template_of(app), self.config(app))

    def sealed(self, config: Mapping[str, Value]) -> str:
        """Return settings as they are stored: encrypted, since there may be passwords among them."""
        return self._ctx.secrets.encrypt(orjson.dumps(dict(config)).decode())


def hidden_in(template: Template, config: Mapping[str, Value]) -> list[str]:
    """Return the secrets among settings that are long enough not to be anything else, the longest first."""
    values = {str(config.get(field.name, "")) for field in template.config if field.hidden}
    return sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)


def _without_password(value: Value) -> Value:
    """Return a setting without the password of a URL in it."""
    return _URL_PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value


def busy(app: App) -> Conflict:
    """Return the error of an app that something is being done to."""
    if app.held is not None and app.status in STEADY:
        return Conflict("app_held", f"{app.name} is held by a backup or a restore; wait until that is done.")
    return Conflict("app_busy", f"{app.name} is {app.status}; wait until that is done.", status=app.status)


def template_of(app: App) -> Template:
    """Return the template as it was when the app was installed."""
    return Template.model_validate_json(app.template_json, context={"stored": True})


def shown(app: App) -> bytes:
    """Return an app as the API's JSON."""
    return orjson.dumps(_shown(app), option=_TIMES)


def _shown(app: App) -> dict[str, Any]:
    return _named([getattr(app, name) for name in _NAMES])


def _named(row: Sequence[Any]) -> dict[str, Any]:
    found = dict(zip(_NAMES, row, strict=True))
    found["ports"] = orjson.Fragment(row[_PORTS])
    return found
