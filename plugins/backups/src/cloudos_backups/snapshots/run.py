"""What the parts of one backup have in common while it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cloudos_backups.restic.messages import Status
from cloudos_backups.restic.repository import Repository
from cloudos_backups.snapshots.manifest import TAG, Part


@dataclass
class Run:
    """One backup in the making."""

    backup_id: str
    schedule_id: str | None
    target_path: str | None
    """The folder of a local target: it is in no snapshot of its own."""
    repository: Repository
    password: str
    node: str
    told: Callable[[Part, Status], None]
    noted: Callable[[Part], Awaitable[None]]

    def tags(self, part: Part) -> list[str]:
        """Return the tags of a part's snapshot."""
        own = [TAG, f"backup:{self.backup_id}", "config" if part.kind == "config" else f"app:{part.id}"]
        return [*own, *([f"schedule:{self.schedule_id}"] if self.schedule_id else [])]
