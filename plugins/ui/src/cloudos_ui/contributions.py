"""What the running plugins bring to the interface, as far as a caller may see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from cloudos_sdk import NotFound, Principal
from cloudos_sdk.capabilities import PermissionCatalogue, PluginCatalogue, RunningPlugin
from cloudos_sdk.context import Licence
from cloudos_sdk.errors import UpgradeRequired
from cloudos_sdk.pages import API, Action, Declared, Form, Page, Table, Widget
from pydantic import BaseModel

from cloudos_ui.shell import content_type_of

Part = TypeVar("Part", Page, Widget, Action)
Allows = Callable[[str], bool]


class Contributions:
    """The pages, widgets and actions of the plugins, read anew for each caller: plugins come up at any time."""

    def __init__(self, plugins: PluginCatalogue, permissions: PermissionCatalogue, licence: Licence) -> None:
        self._plugins, self._permissions, self._licence = plugins, permissions, licence

    def shown_to(self, who: Principal) -> dict[str, Any]:
        """Return all that a caller may see; what the plan lacks is there and says so in `locked`."""
        granted = self.granted(who)
        allows = granted.__contains__
        with_ui = [plugin for plugin in self._plugins.running() if plugin.manifest.ui is not None]
        return {
            "api": API,
            "permissions": sorted(granted),
            "pages": [
                {**self._common(plugin, page), "path": page.path, "menu": page.menu, "order": page.order}
                for plugin in with_ui
                for page in self._visible(plugin.manifest.ui.pages if plugin.manifest.ui else (), allows)
            ],
            "widgets": [
                {
                    **self._common(plugin, widget),
                    "id": widget.id,
                    "size": list(widget.size),
                    "dashboards": list(widget.dashboards),
                }
                for plugin in with_ui
                for widget in self._visible(plugin.manifest.ui.widgets if plugin.manifest.ui else (), allows)
            ],
            "actions": [
                {**self._common(plugin, action), "slot": action.slot}
                for plugin in with_ui
                for action in self._visible(plugin.manifest.ui.actions if plugin.manifest.ui else (), allows)
            ],
            "locales": {plugin.id: _locales(plugin) for plugin in with_ui},
        }

    def granted(self, who: Principal) -> set[str]:
        """Return the names of the permissions that a caller has."""
        catalogue = self._permissions.permissions()
        return {name for name in catalogue if allows(who, name, catalogue)}

    def declared(self, who: Principal, plugin_id: str, name: str) -> list[dict[str, Any]]:
        """Return what a page (by its path) or a widget (by its id) declares. Raises NotFound, UpgradeRequired."""
        allows = self.granted(who).__contains__
        for plugin in self._plugins.running():
            if plugin.id == plugin_id and plugin.manifest.ui is not None:
                ui = plugin.manifest.ui
                pages = {page.path: page for page in self._visible(ui.pages, allows)}
                widgets = {widget.id: widget for widget in self._visible(ui.widgets, allows)}
                part = pages.get(name) or widgets.get(name)
                if part is not None and part.declared:
                    if part.feature is not None:
                        self._licence.require(part.feature)
                    return [_section(section, allows) for section in part.declared]
        raise NotFound("contribution", name)

    def file(self, plugin_id: str, version: str, name: str) -> Path:
        """Return a file of a plugin's assets. Raises NotFound."""
        for plugin in self._plugins.running():
            if (plugin.id, plugin.version) == (plugin_id, version) and plugin.manifest.ui is not None:
                folder = plugin.manifest.ui.folder()
                if folder is not None and content_type_of(name) is not None:
                    path = (folder / name).resolve()
                    if path.is_relative_to(folder.resolve()) and path.is_file():
                        return path
        raise NotFound("file", name)

    def is_page(self, path: str) -> bool:
        """Tell whether some plugin has a page at a path."""
        pages = [
            page.path for plugin in self._plugins.running() if plugin.manifest.ui for page in plugin.manifest.ui.pages
        ]
        return any(
            path == page.removesuffix("/*") or (page.endswith("/*") and path.startswith(page[:-1])) for page in pages
        )

    def _visible(self, parts: Sequence[Part], allows: Allows) -> list[Part]:
        return [part for part in parts if part.permission is None or allows(part.permission)]

    def _common(self, plugin: RunningPlugin, part: Page | Widget | Action) -> dict[str, Any]:
        ui = plugin.manifest.ui
        base = f"/ui/x/{plugin.id}/{plugin.version}/"
        style = getattr(part, "style", None)
        return {
            "plugin": plugin.id,
            "title": part.title,
            "icon": getattr(part, "icon", None),
            "api": ui.api if ui is not None else API,
            "base": base,
            "module": base + part.module if part.module else None,
            "style": base + style if style else None,
            "locked": self._locked(part.feature),
        }

    def _locked(self, feature: str | None) -> Mapping[str, Any] | None:
        if feature is None or self._licence.has(feature):
            return None
        try:
            self._licence.require(feature)
        except UpgradeRequired as error:
            return error.body()
        return None


def allows(who: Principal, name: str, catalogue: Mapping[str, Any]) -> bool:
    """Tell whether a caller's role, and a key's scopes, include a permission."""
    declared = catalogue.get(name)
    if declared is None or not who.role.includes(declared.role):
        return False
    area, _, verb = name.partition(":")
    return who.scopes is None or name in who.scopes or (verb == "read" and f"{area}:write" in who.scopes)


def _section(section: Declared, allows: Allows) -> dict[str, Any]:
    if isinstance(section, Form):
        return {"kind": "form", **_form(section, allows)}
    if not isinstance(section, Table):
        return {"kind": "stat", **asdict(section)}
    actions = [asdict(action) for action in section.actions if action.permission is None or allows(action.permission)]
    shown = {name: getattr(section, name) for name in ("source", "title", "empty", "events", "paged")}
    forms = {
        name: _form(form, allows)
        for name, form in (("create", section.create), ("edit", section.edit))
        if form is not None and (form.permission is None or allows(form.permission))
    }
    return {
        "kind": "table",
        **shown,
        "columns": [asdict(column) for column in section.columns],
        "actions": actions,
        **forms,
    }


def _form(form: Form, allows: Allows) -> dict[str, Any]:
    schema = form.schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        schema = schema.model_json_schema()
    editable = form.permission is None or allows(form.permission)
    shown = {name: getattr(form, name) for name in ("source", "target", "method", "title", "submit", "show")}
    return {**shown, "schema": schema, "editable": editable}


def _locales(plugin: RunningPlugin) -> list[str]:
    """Return the languages of a plugin's own messages."""
    folder = plugin.manifest.ui.folder() if plugin.manifest.ui is not None else None
    return sorted(path.stem for path in (folder / "locales").glob("*.ftl")) if folder is not None else []
