"""Events that only this plugin knows."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class AppUpdateFailed(Event, type="app.update_failed", audience="apps:read"):
    """An update failed; the previous version runs again."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AppRightsAllowed(Event, type="app.rights_allowed", audience="apps:read"):
    """A user allowed rights of an app; `rights` are the new ones."""

    name: str
    rights: list[str]


@dataclass(frozen=True, kw_only=True)
class TemplateSourceAdded(Event, type="template_source.added", audience="apps:read"):
    """A catalogue of templates was added."""

    name: str
    templates: int


@dataclass(frozen=True, kw_only=True)
class TemplateSourceRefreshed(Event, type="template_source.refreshed", audience="apps:read"):
    """A catalogue of templates was fetched again and has changed."""

    name: str
    templates: int


@dataclass(frozen=True, kw_only=True)
class TemplateSourceRemoved(Event, type="template_source.removed", audience="apps:read"):
    """A catalogue of templates was removed; apps made from it stay."""

    name: str
