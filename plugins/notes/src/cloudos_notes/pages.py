"""What notes bring to the web interface."""

from __future__ import annotations

from cloudos_sdk.pages import UI, Column, Form, Page, RowAction, Table, Widget

_NOTE = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "title": "Title", "description": "Left empty, it is the first line."},
        "content": {"type": "string", "title": "Text", "description": "Markdown, with #tags and [[links]]."},
        "tags": {"type": "array", "items": {"type": "string"}, "title": "Tags"},
        "folder": {"type": "string", "title": "Folder"},
        "importance": {"type": "number", "title": "Importance", "minimum": 0, "maximum": 1},
    },
}
_NOTES = Table(
    title="",
    source="/api/notes",
    columns=(
        Column(key="title", title="Title"),
        Column(key="excerpt", title="Text"),
        Column(key="tags", title="Tags", kind="list"),
        Column(key="folder", title="Folder"),
        Column(key="updated_at", title="Changed", kind="time"),
    ),
    empty="No notes yet.",
    create=Form(
        title="Write a note",
        schema=_NOTE,
        target="/api/notes",
        method="POST",
        submit="Save",
        permission="notes:write",
    ),
    edit=Form(
        title="Change the note",
        schema=_NOTE,
        source="/api/notes/{id}",
        target="/api/notes/{id}",
        permission="notes:write",
    ),
    actions=(
        RowAction(
            title="Delete",
            method="DELETE",
            path="/api/notes/{id}",
            confirm="The note goes to the trash, from where it can be brought back.",
            permission="notes:write",
        ),
    ),
    events=("note.", "memory."),
    paged=True,
)
_TRASH = Table(
    title="Trash",
    source="/api/notes?trash=true",
    columns=(Column(key="title", title="Title"), Column(key="deleted_at", title="Deleted", kind="time")),
    empty="The trash is empty.",
    actions=(
        RowAction(title="Bring back", method="POST", path="/api/notes/{id}/restore", permission="notes:write"),
        RowAction(
            title="Delete for good",
            method="DELETE",
            path="/api/notes/{id}?permanent=true",
            confirm="Nothing brings the note back.",
            permission="notes:write",
        ),
    ),
    events=("note.",),
)

PAGES = UI(
    pages=(
        Page(
            path="/notes",
            title="Notes",
            icon="note",
            order=50,
            declared=(_NOTES, _TRASH),
            permission="notes:read",
        ),
    ),
    widgets=(
        Widget(
            id="notes",
            title="Notes",
            icon="note",
            permission="notes:read",
            declared=(
                Table(
                    source="/api/notes?limit=8",
                    columns=(
                        Column(key="title", title="Title"),
                        Column(key="updated_at", title="Changed", kind="time"),
                    ),
                    empty="No notes yet.",
                    events=("note.",),
                ),
            ),
        ),
    ),
)
