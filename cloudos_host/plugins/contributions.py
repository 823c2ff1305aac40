"""What plugins bring to the web interface: checked at the start, and told to the plugin that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cloudos_sdk import Manifest
from cloudos_sdk.capabilities import RunningPlugin
from cloudos_sdk.pages import UI

from cloudos_host.plugins.registry import PluginRecord, PluginState, owner


class PluginTable:
    """The plugins that run, as the capability `PluginCatalogue`."""

    def __init__(self, own: PluginRecord, records: Sequence[PluginRecord]) -> None:
        self._own, self._records = own, records

    def running(self) -> list[RunningPlugin]:
        """Return those that run now."""
        return [
            RunningPlugin(record.id, record.found.version, record.manifest)
            for record in self._records
            if record.state is PluginState.RUNNING and record.manifest is not None
        ]

    def owned(self, path: str) -> bool:
        """Return whether a plugin or the host owns a path."""
        return owner([self._own, *self._records], path) is not None


def fault_of(manifest: Manifest, host: Manifest) -> str | None:
    """Say what is wrong with what a plugin brings to the web interface; None where nothing is."""
    if manifest.ui is None:
        return None
    permissions = {permission.name for permission in (*manifest.permissions, *host.permissions)}
    features = {feature.key for feature in manifest.features}
    for part in manifest.ui.parts:
        if part.permission is not None and part.permission not in permissions:
            return f"{part.title!r} asks for {part.permission!r}, which the manifest does not declare"
        if part.feature is not None and part.feature not in features:
            return f"{part.title!r} needs the feature {part.feature!r}, which the manifest does not declare"
    return _missing(manifest.ui)


def _missing(ui: UI) -> str | None:
    if ui.assets is None:
        return None
    folder = ui.folder()
    if folder is None:
        return f"the folder {ui.assets!r} of its pages is not there"
    styles = [page.style for page in ui.pages] + [widget.style for widget in ui.widgets]
    for name in [*(part.module for part in ui.parts), *styles]:
        if name and not (folder / name).is_file():
            return f"{name!r} is not in the folder {ui.assets!r}"
    return None


def taken(manifest: Manifest) -> Iterator[str]:
    """Yield the names of what a plugin brings, of which there can be one alone."""
    if manifest.root:
        yield "the path /"
    if manifest.ui is not None:
        yield from (f"the page {page.path}" for page in manifest.ui.pages)
        yield from (f"the widget {widget.id}" for widget in manifest.ui.widgets)
