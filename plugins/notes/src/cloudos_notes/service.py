"""What the endpoints call: the store, what is shown of it, and the filters of queries."""

from __future__ import annotations

from cloudos_notes.schemas import ExportQuery, GraphQuery, NoteQuery, names
from cloudos_notes.storage.store import Store
from cloudos_notes.storage.tables import Wanted
from cloudos_notes.storage.versions import Versions
from cloudos_notes.text.validation import folder
from cloudos_notes.vault.importer import Importer
from cloudos_notes.views.graph import GraphReader
from cloudos_notes.views.listing import Listing

__all__ = [
    "GraphReader",
    "Importer",
    "Listing",
    "Store",
    "Versions",
    "export_filter",
    "folder",
    "graph_filter",
    "list_filter",
]


def list_filter(owner: str, query: NoteQuery) -> Wanted:
    """Return the filter of a list."""
    return Wanted(
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


def graph_filter(owner: str, query: GraphQuery) -> Wanted:
    """Return the filter of the mind map."""
    return Wanted(
        owner=owner,
        namespaces=names(query.namespace) or None,
        sources=names(query.source) or None,
        clients=names(query.client) or None,
        tags=names(query.tags),
        min_importance=query.min_importance,
        archived=query.include_archived,
    )


def export_filter(owner: str, query: ExportQuery) -> Wanted:
    """Return the filter of an export, in which archived notes are."""
    return Wanted(
        owner=owner,
        namespaces=names(query.namespace) or None,
        sources=names(query.source) or None,
        tags=names(query.tags),
        archived=True,
        folder=folder(query.folder) if query.folder else None,
    )
