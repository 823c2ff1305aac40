"""The apps of the node with what is known of their backups."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import current, use
from cloudos_sdk.capabilities import Apps

from cloudos_backups.snapshots.store import BackupStore


async def known_apps() -> list[dict[str, Any]]:
    """Return every app that is installed or has a backup, by name."""
    found = current().find(Apps)
    installed = {app.id: app.name for app in await found.list_apps()} if found is not None else {}
    states = {state.app_id: state for state in await use(BackupStore).apps()}
    rows = []
    for app_id in {*installed, *states}:
        state = states.get(app_id)
        rows.append(
            {
                "app_id": app_id,
                "name": installed.get(app_id) or (state.name if state is not None else app_id),
                "installed": app_id in installed,
                "last_backup": state and state.last_backup_at,
                "last_backup_id": state and state.last_backup_id,
                "last_proved": state and state.last_proved_at,
                "proof_error": state and state.proof_error,
            }
        )
    return sorted(rows, key=lambda row: (str(row["name"]), str(row["app_id"])))
