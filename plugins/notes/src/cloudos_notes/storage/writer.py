"""The transactions that write notes: each with its tags, links, index and event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cloudos_sdk import Conflict, Context, NotFound, new_id
from cloudos_sdk.capabilities import Note
from sqlalchemy import insert, select, update
from sqlmodel import Session

from cloudos_notes.events import MemoryCreated, NoteCreated, NoteEvent, NoteUpdated
from cloudos_notes.storage import links
from cloudos_notes.storage.tables import COLUMNS, NOTE, ONCE, PRESENT, VERSION, note_of, tags_json
from cloudos_notes.storage.tags import ARCHIVED, by_kind, insert_tags, retag
from cloudos_notes.text import markdown, validation
from cloudos_notes.text.inputs import Edit, NewNote
from cloudos_notes.text.normalization import file_key, folded, linkable, moved, sorted_tags


class TextIndex(Protocol):
    """What a full-text index stores beside a note."""

    insertion: Any
    """The statement that inserts a note and returns its `seq`."""

    def stored(self, title: str, content: str, words: str) -> dict[str, Any]:
        """Return the parameters that the column `search` is made of."""
        ...

    def changing(self, statement: Any, values: dict[str, Any]) -> Any:
        """Return an update with these values, in which those of `stored` may be."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A renamed note's own text, prepared before the transaction for one title and version."""

    key: str
    version: int
    words: str
    renamed: validation.NoteContent | None


@dataclass(frozen=True, slots=True)
class Rename:
    """A note whose title changed, the key of the title that it had, and the notes that name it by that."""

    seq: int
    owner: str
    key: str
    title: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """A note after a change, and the rename that other texts have yet to follow."""

    note: Note
    rename: Rename | None = None


class NoteWriter:
    """Stores notes in the transaction in hand."""

    def __init__(self, ctx: Context, index: TextIndex) -> None:
        self._ctx = ctx
        self._index = index

    def made_before(self, session: Session, owner: str, client: str | None, key: str) -> Note | None:
        """Return the note that an idempotency key made."""
        statement = (
            select(*COLUMNS)
            .join(ONCE, ONCE.c.note == NOTE.c.seq)
            .where(ONCE.c.owner == owner, ONCE.c.client == (client or ""), ONCE.c.key == key)
        )
        row = session.execute(statement).first()
        return note_of(row) if row is not None else None

    def insert(self, session: Session, owner: str, new: NewNote, idempotency_key: str | None = None) -> Note:
        """Store a new note."""
        draft, content, now = new.draft, new.content, self._ctx.clock.now()
        kinds = by_kind(new.given, content.tags, [*new.system, *([ARCHIVED] if new.archived else [])])
        tags = sorted_tags(tag for _, _, tag in kinds)
        note = Note(
            id=new_id("note"),
            owner=owner,
            title=new.title,
            content=content.text,
            tags=tuple(tags),
            importance=draft.importance,
            archived=new.archived,
            source=draft.source,
            namespace=draft.namespace,
            client=draft.client,
            version=1,
            created_at=new.created_at or now,
            updated_at=new.updated_at or now,
            last_referenced_at=None,
        )
        key, connection = folded(new.title), session.connection()
        values = {name: getattr(note, name) for name in _PLAIN}
        values |= {
            "title_key": key,
            **self._index.stored(note.title, note.content, content.words),
            "tags": tags_json(tags),
            "folder": new.folder,
            "front_matter": new.front_matter,
            "path": new.path,
            "file_key": file_key(new.path),
            "active_at": note.updated_at,
        }
        seq: int = connection.execute(self._index.insertion, values).scalar_one()
        insert_tags(session, seq, owner, kinds)
        links.write_links(session, seq, owner, note.namespace, content.links)
        links.resolve(session, owner, [key, values["file_key"]])
        if idempotency_key is not None:
            once = {"owner": owner, "client": draft.client or "", "key": idempotency_key}
            connection.execute(_INSERT_ONCE, {**once, "note": seq, "made_at": now})
        self._tell(session, NoteCreated, note, f"Wrote a note in {note.namespace}")
        if note.source != "user":
            self._tell(session, MemoryCreated, note, f"Remembered something in {note.namespace}", client=note.client)
        return note

    def change(
        self,
        session: Session,
        owner: str,
        note_id: str,
        edit: Edit,
        version: int | None = None,
        prepared: Prepared | None = None,
        *,
        follow: bool = True,
    ) -> Changed:
        """Change a note; does nothing without a difference. Raises NotFound, Conflict.

        Unless they are to `follow`, the texts that name it by a title that changes stay.
        """
        row = load(session, owner, note_id)
        if version is not None and version != row.version:
            raise Conflict(
                "stale_version",
                f"The note was changed in the meantime: it is at version {row.version}, not {version}.",
                current_version=row.version,
            )
        if prepared is not None and (prepared.key, prepared.version) != (row.title_key, row.version):
            prepared = None
        title = row.title if edit.title is None else edit.title
        key = folded(title)
        content = edit.content
        renamed_from = row.title_key if key != row.title_key else None
        naming = links.naming(session, row.seq, renamed_from) if renamed_from is not None and follow else set()
        if renamed_from is not None and row.seq in naming and linkable(title):
            if prepared is not None and prepared.renamed is not None:
                content = prepared.renamed
            else:
                text = content.text if content is not None else row.content
                content = validation.read_now(markdown.renamed(text, renamed_from, title))
        values = self._values(session, row, edit, title, content, prepared)
        if not values:
            return Changed(note_of(row))
        self._store(session, row, values, content)
        rename = None
        if renamed_from is not None:
            sources = tuple(sorted(naming - {row.seq}))
            if sources and linkable(title):
                rename = Rename(row.seq, owner, renamed_from, title, sources)
            else:
                self._link_by_hand(session, row, title, sources)
            # until the texts have followed, their links by the old title go on leading here
            links.resolve(session, owner, [key] if rename else [renamed_from, key])
        return Changed(note_of(load(session, owner, note_id)), rename)

    def _values(
        self,
        session: Session,
        row: Any,
        edit: Edit,
        title: str,
        content: validation.NoteContent | None,
        prepared: Prepared | None = None,
    ) -> dict[str, Any]:
        """Return the columns that change."""
        wanted: dict[str, Any] = {"title": title, "title_key": folded(title)}
        if content is not None:
            wanted["content"] = content.text
        if edit.importance is not None:
            wanted["importance"] = edit.importance
        elif edit.archived:
            wanted["importance"] = 0.0
        if edit.archived is not None:
            wanted["archived"] = edit.archived
        if edit.folder is not None:
            wanted["folder"] = edit.folder
        if row.path is not None:
            if row.file_key == row.title_key != wanted["title_key"]:  # the file is named by the title
                wanted |= {"path": None, "file_key": None}
            elif edit.folder is not None and edit.folder != row.folder:
                wanted["path"] = moved(row.path, edit.folder)
        if edit.given is not None or content is not None or edit.archived is not None:
            wanted["tags"] = tags_json(retag(session, row, edit, content))
        values = {name: value for name, value in wanted.items() if value != row._mapping[name]}
        if "title" in values or "content" in values:
            text = content.text if content is not None else row.content
            words = (content or prepared or validation.read_now(text)).words
            values |= self._index.stored(title, text, words)
        return values

    def _store(
        self, session: Session, row: Any, values: dict[str, Any], content: validation.NoteContent | None
    ) -> None:
        """Write a change with its version, links and event."""
        now = self._ctx.clock.now()
        if values.keys() & {"title", "content", "tags", "folder"}:
            before = {name: row._mapping[name] for name in ("title", "content", "tags", "folder", "version")}
            session.execute(insert(VERSION).values(note=row.seq, written_at=row.updated_at, replaced_at=now, **before))
        values |= {"version": row.version + 1, "updated_at": now, "active_at": now}
        session.execute(self._index.changing(update(NOTE).where(NOTE.c.seq == row.seq), values))
        if content is not None:
            links.replace_links(session, row.seq, row.owner, row.namespace, content.links)
        self._tell(session, NoteUpdated, row, f"Changed a note in {row.namespace}")

    def follow(
        self,
        session: Session,
        rename: Rename,
        read: Mapping[int, tuple[int, validation.NoteContent | None]],
        *,
        wait: bool,
    ) -> list[int]:
        """Store texts that name a note by its new title; return those that changed since they were read.

        Where they are not to wait, what changed is read in the transaction.
        """
        changed = []
        for seq, (version, content) in read.items():
            row = session.execute(_WHOLE.where(NOTE.c.seq == seq)).first()
            if row is not None and row.version != version:
                if wait:
                    changed.append(seq)
                    continue
                content = validation.read_now(markdown.renamed(row.content, rename.key, rename.title))
            if row is not None and content is not None:
                values = self._values(session, row, Edit(), row.title, content)
                if values:
                    self._store(session, row, values, content)
        return changed

    def _link_by_hand(self, session: Session, row: Any, title: str, sources: tuple[int, ...]) -> None:
        """Link the texts that named a note to it by hand, for a title that no text can name."""
        for seq in sources:
            source = session.execute(select(NOTE.c.seq, NOTE.c.owner, NOTE.c.namespace).where(NOTE.c.seq == seq)).one()
            links.ensure_manual(session, source, row.seq, row.id, title)

    def link(self, session: Session, owner: str, source_id: str, target_id: str) -> bool:
        """Link two notes manually; False if they were linked. Raises NotFound."""
        done = links.link(session, owner, source_id, target_id)
        if done:
            self._tell(session, NoteUpdated, load(session, owner, source_id), f"Linked a note to {target_id}")
        return done

    def unlink(self, session: Session, owner: str, source_id: str, target_id: str) -> bool:
        """Remove a manual link; False if there was none."""
        done = links.unlink(session, owner, source_id, target_id)
        if done:
            self._tell(session, NoteUpdated, load(session, owner, source_id), f"Took a link to {target_id} from a note")
        return done

    def _tell(self, session: Session, event: type[NoteEvent], note: Any, details: str, **more: Any) -> None:
        about = {"owner": note.owner, "namespace": note.namespace, "source": note.source}
        self._ctx.events.emit(session, event(resource=note.id, details=details, **about, **more))


_PLAIN = (
    "id",
    "owner",
    "title",
    "content",
    "importance",
    "archived",
    "source",
    "namespace",
    "client",
    "version",
    "created_at",
    "updated_at",
)
_INSERT_ONCE = insert(ONCE)  # kept: to build a statement costs more than to run it
_WHOLE = select(*COLUMNS, NOTE.c.seq, NOTE.c.title_key, NOTE.c.folder, NOTE.c.front_matter, NOTE.c.deleted_at)
_WHOLE = _WHOLE.add_columns(NOTE.c.path, NOTE.c.file_key)


def load(session: Session, owner: str, note_id: str, *, trashed: bool = False) -> Any:
    """Return the row of a note, or with `trashed` of one that may be in the trash. Raises NotFound."""
    statement = _WHOLE.where(NOTE.c.id == note_id, NOTE.c.owner == owner)
    row = session.execute(statement if trashed else statement.where(PRESENT)).first()
    if row is None:
        raise NotFound("note", note_id)
    return row
