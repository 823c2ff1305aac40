"""Filters of notes, made from queries."""

from __future__ import annotations

from cloudos_notes.schemas import ExportQuery, GraphQuery, NoteQuery, names
from cloudos_notes.storage.tables import NoteSelection
from cloudos_notes.text.validation import folder


def list_filter(owner: str, query: NoteQuery) -> NoteSelection:
    """Return the filter of a list."""
    return NoteSelection(
        owner=owner,
        namespaces=names(query.namespace) or None,
        sources=names(query.source) or None,
        clients=names(query.client) or None,
        tags=names(query.tags),
        since=query.since,
        until=query.until,
        min_importance=query.min_importance,
        archived=query.archived or query.trash,
        folder=folder(query.folder) if query.folder else None,
        trash=query.trash,
    )


def graph_filter(owner: str, query: GraphQuery) -> NoteSelection:
    """Return the filter of the mind map."""
    return NoteSelection(
        owner=owner,
        namespaces=names(query.namespace) or None,
        sources=names(query.source) or None,
        clients=names(query.client) or None,
        tags=names(query.tags),
        min_importance=query.min_importance,
        archived=query.include_archived,
    )


def export_filter(owner: str, query: ExportQuery) -> NoteSelection:
    """Return the filter of an export, in which archived notes are."""
    return NoteSelection(
        owner=owner,
        namespaces=names(query.namespace) or None,
        sources=names(query.source) or None,
        tags=names(query.tags),
        archived=True,
        folder=folder(query.folder) if query.folder else None,
    )
