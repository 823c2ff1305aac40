"""The notes in the scope of a key: namespaces, lookup by id or title, and suggestions for a miss."""

from __future__ import annotations

import difflib

from cloudos_sdk import Conflict, Context, Forbidden, NotFound, principal
from cloudos_sdk.capabilities import Note, NoteFilter, NoteStore

from cloudos_memory.keys.cache import HeldKey, KeyCache

ALL = "*"
_NEAR = 3


class KeyScope:
    """The notes of the caller's owner, as far as the caller's key goes."""

    def __init__(self, ctx: Context, ring: KeyCache) -> None:
        self._ctx = ctx
        self._ring = ring

    @property
    def store(self) -> NoteStore:
        """The note store. Raises Unavailable if no plugin provides it."""
        return self._ctx.use(NoteStore)

    def key(self) -> HeldKey:
        """Return the key of the caller."""
        key = self._ring.get(principal().id)
        if key is None:
            raise Forbidden("This key is gone.")
        return key

    def namespaces(self, wanted: str | None) -> tuple[str, ...]:
        """Return the namespaces to read: the key's own, the one that is wanted, or with `*` all that it reads."""
        key = self.key()
        if wanted is None:
            return (key.namespace,)
        if wanted == ALL:
            return key.readable
        if wanted not in key.readable:
            readable = ", ".join(f"`{name}`" for name in key.readable)
            raise Forbidden(f"This key does not read the namespace `{wanted}`; it reads {readable}.")
        return (wanted,)

    async def find(self, named: str) -> Note:
        """Return a note by id or exact title. Raises NotFound with suggestions, and Conflict."""
        key = self.key()
        note = await self.store.get(key.user_id, named)
        if note is not None and note.namespace in key.readable:
            return note
        titled = await self.store.by_title(key.user_id, named, key.readable)
        own = [n for n in titled if n.namespace == key.namespace] or list(titled)
        if len(own) > 1:
            ids = ", ".join(f"`{n.id}`" for n in own[:5])
            raise Conflict("ambiguous_title", f"More than one note is called `{named[:100]}`: {ids}. Give the id.")
        if own:
            return own[0]
        raise NotFound("note", named, message=await self._missing(named, key))

    async def own(self, named: str) -> Note:
        """Return a note that the key may change. Raises Forbidden for one of another namespace."""
        note, key = await self.find(named), self.key()
        if note.namespace != key.namespace:
            message = f"`{note.id}` is in the namespace `{note.namespace}`; this key writes only `{key.namespace}`."
            raise Forbidden(message)
        return note

    async def _missing(self, named: str, key: HeldKey) -> str:
        """Return the message of a miss, with suggestions."""
        shown = named[:100]
        wanted = NoteFilter(owner=key.user_id, namespaces=key.readable, archived=True)
        known = {note.id: note for note in await self.store.recent(wanted, 200)}
        hits = [hit.note for hit in await self.store.search_text(shown, wanted, 20)]
        known |= {note.id: note for note in hits}
        titles = {note.title.casefold(): note for note in reversed(known.values())}
        near = [titles[t] for t in difflib.get_close_matches(shown.casefold(), titles, n=_NEAR, cutoff=0.6)]
        near += [known[id] for id in difflib.get_close_matches(shown, known, n=_NEAR, cutoff=0.8)]
        near += hits[:_NEAR]
        near = list(dict.fromkeys(near))[:_NEAR]
        hint = "; did you mean " + " or ".join(f"`{n.id}` ({n.title[:80]})" for n in near) + "?" if near else "."
        return f"no note `{shown}` in namespace `{key.namespace}`{hint}"
