"""What a plugin has for the backups of the node's configuration."""

from __future__ import annotations

from typing import Protocol


class BackupSource(Protocol):
    """Data beside the plugin's tables and its folder, which are in every such backup anyway. Any plugin may have some.

    It is for a person to find in the backup: notes as Markdown, routes as a file.
    """

    @property
    def name(self) -> str:
        """The name of its folder in the backup: lower-case letters, digits and hyphens."""
        ...

    async def write(self, folder: str) -> None:
        """Write its data into an empty folder of the machine. What it raises is told as the part that is missing."""
        ...
