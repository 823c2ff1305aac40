"""Catalogues that were added: kept in the database, read again from their URLs once a day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cloudos_sdk import Conflict, Context, InvalidRequest, NotFound, new_id
from sqlalchemy import delete, func, select, update

from cloudos_apps.events import TemplateSourceAdded, TemplateSourceRefreshed, TemplateSourceRemoved
from cloudos_apps.models import TemplateSource
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.formats.common import ConvertedTemplates, UnsupportedTemplate
from cloudos_apps.templates.formats.detect import Format, read
from cloudos_apps.templates.sources.download import Download, check, fetch, shown

_TABLE = TemplateSource.__table__
_MOST, _AT_ONCE = 100, 4


class TemplateSources:
    """Adds, refreshes and removes sources, and gives their templates to the catalogue."""

    def __init__(self, ctx: Context, catalogue: TemplateCatalog) -> None:
        self._ctx = ctx
        self._catalogue = catalogue
        self._read: dict[str, ConvertedTemplates] = {}

    async def load(self) -> None:
        """Give the templates of every stored source to the catalogue, without asking the network."""
        for entry in await self._rows():
            row = await self._row(entry.id)
            try:
                _, found = await asyncio.to_thread(read, row.content, row.name)
            except Exception as error:  # noqa: BLE001 - it was read once, so this version reads less than an older one
                self._ctx.log.warning("a template source cannot be read", source=row.name, reason=str(error))
                continue
            self._put(row.id, row.name, found)

    async def listed(self) -> list[dict[str, Any]]:
        """Return all sources as the API shows them, by name."""
        return [self._shown(row) for row in await self._rows()]

    async def get(self, source_id: str) -> dict[str, Any]:
        """Return one source with skipped entries. Raises NotFound."""
        return self._shown(await self._row(source_id), full=True)

    async def add(self, name: str, url: str | None, content: str | None) -> dict[str, Any]:
        """Fetch or take a text, and add its templates.

        Raises InvalidRequest where it is no catalogue or none of its templates fits, Conflict where the name is taken.
        """
        rows = await self._rows()
        if any(row.name == name for row in rows):
            raise self._taken(name)
        self._check_room(len(rows))
        place = "content" if url is None else "url"
        try:
            fetched = await self._fetch(url, None) if url is not None else Download(content, None)
            text = fetched.text or ""
            format, found = await asyncio.to_thread(_usable, text, name)
        except UnsupportedTemplate as error:
            raise InvalidRequest.field(place, str(error)) from None
        now = self._ctx.clock.now()
        source_id = new_id("tsrc")
        row = {
            "id": source_id,
            "name": name,
            "url": self._ctx.secrets.encrypt(url) if url is not None else None,
            "format": format,
            "content": text,
            "etag": fetched.etag,
            "error": None,
            "fetched_at": now,
            "created_at": now,
        }

        def store(session: Any) -> None:
            if session.execute(select(_TABLE.c.id).where(_TABLE.c.name == name)).first() is not None:
                raise self._taken(name)
            self._check_room(session.execute(select(func.count()).select_from(_TABLE)).scalar_one())
            session.execute(_TABLE.insert().values(**row))
            count = len(found.templates)
            details = f"Added the template source {name} with {count} templates"
            event = TemplateSourceAdded(resource=source_id, name=name, templates=count, details=details)
            self._ctx.events.emit(session, event)
            self._ctx.db.after_commit(session, lambda: self._put(source_id, name, found))

        await self._ctx.db.write(store)
        return await self.get(source_id)

    async def refresh(self, source_id: str) -> dict[str, Any]:
        """Fetch a source again; its templates stay if that fails. Raises NotFound, Conflict."""
        row = await self._row(source_id)
        if row.url is None:
            raise Conflict("source_has_no_url", f"{row.name} was added as a file; remove it and add it again.")
        values: dict[str, Any] = {"error": None, "fetched_at": self._ctx.clock.now()}
        found: ConvertedTemplates | None = None
        try:
            fetched = await self._fetch(self._ctx.secrets.decrypt(row.url), row.etag)
            if fetched.text is not None:
                format, found = await asyncio.to_thread(_usable, fetched.text, row.name)
                values |= {"content": fetched.text, "etag": fetched.etag, "format": format}
        except UnsupportedTemplate as error:
            values = {"error": str(error)}

        def store(session: Any) -> None:
            if not session.execute(update(_TABLE).where(_TABLE.c.id == source_id).values(**values)).rowcount:
                return  # it was removed meanwhile
            if found is not None:
                self._ctx.db.after_commit(session, lambda: self._put(source_id, row.name, found))
            if found is not None and fetched.text != row.content:
                details = f"The template source {row.name} has {len(found.templates)} templates now"
                event = TemplateSourceRefreshed(
                    resource=source_id, name=row.name, templates=len(found.templates), details=details
                )
                self._ctx.events.emit(session, event)

        await self._ctx.db.write(store)
        return await self.get(source_id)

    async def refresh_all(self) -> None:
        """Refresh all sources with a URL, a few at a time; a failure of one does not affect the others."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(source_id: str, name: str) -> None:
            async with room:
                try:
                    await self.refresh(source_id)
                except Exception as error:
                    self._ctx.log.error("a template source could not be refreshed", source=name, exc_info=error)

        await asyncio.gather(*(one(row.id, row.name) for row in await self._rows() if row.url is not None))

    async def remove(self, source_id: str) -> None:
        """Remove a source; apps made from its templates stay as they are. Raises NotFound."""
        row = await self._row(source_id)

        def drop(session: Any) -> None:
            if session.execute(delete(_TABLE).where(_TABLE.c.id == source_id)).rowcount:
                details = f"Removed the template source {row.name}"
                event = TemplateSourceRemoved(resource=source_id, name=row.name, details=details)
                self._ctx.events.emit(session, event)
                self._ctx.db.after_commit(session, lambda: self._drop(source_id))

        await self._ctx.db.write(drop)

    def _put(self, source_id: str, name: str, found: ConvertedTemplates) -> None:
        self._read[source_id] = found
        self._catalogue.put_source(source_id, found.templates, name)

    def _drop(self, source_id: str) -> None:
        self._read.pop(source_id, None)
        self._catalogue.drop_source(source_id)

    async def _fetch(self, url: str, etag: str | None) -> Download:
        check(url)
        return await fetch(url, etag, allow_private=self._ctx.settings.template_sources_allow_private)

    async def _rows(self) -> Sequence[Any]:
        """Return the rows without their texts, which may be long."""
        statement = select(*(column for column in _TABLE.c if column.name != "content")).order_by(_TABLE.c.name)
        return await self._ctx.db.read(lambda s: s.execute(statement).all())

    async def _row(self, source_id: str) -> Any:
        statement = select(_TABLE).where(_TABLE.c.id == source_id)
        row = await self._ctx.db.read(lambda s: s.execute(statement).first())
        if row is None:
            raise NotFound("template source", source_id)
        return row

    def _shown(self, row: Any, *, full: bool = False) -> dict[str, Any]:
        found = self._read.get(row.id, ConvertedTemplates())
        body = {
            "id": row.id,
            "name": row.name,
            "url": shown(self._ctx.secrets.decrypt(row.url)) if row.url is not None else None,
            "format": row.format,
            "templates": len(found.templates),
            "skipped": found.left_out,
            "error": row.error,
            "fetched_at": row.fetched_at,
            "created_at": row.created_at,
        }
        if full:
            body["left_out"] = [{"name": title, "reason": reason} for title, reason in found.skipped]
        return body

    @staticmethod
    def _check_room(count: int) -> None:
        if count >= _MOST:
            raise Conflict("too_many_sources", f"There are {_MOST} template sources, the most; remove one first.")

    @staticmethod
    def _taken(name: str) -> Conflict:
        return Conflict("source_name_taken", f"There is a template source named {name} already; choose another name.")


def _usable(text: str, name: str) -> tuple[Format, ConvertedTemplates]:
    """Read a text. Raises UnsupportedTemplate also if none of its entries is usable."""
    format, found = read(text, name)
    if not found.templates:
        why = "; ".join(f"{title}: {reason}" for title, reason in found.skipped[:3]) or "it is empty"
        raise UnsupportedTemplate(f"none of its templates can be used: {why}")
    return format, found
