"""Where a repository is and what opens it, as restic wants it told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Repository:
    """A repository. What is secret goes by the environment or a pipe, never by the command line.

    `hidden` are texts that no message may show.
    """

    url: str = field(repr=False)
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Sequence[str] = ()
    hidden: Sequence[str] = field(default=(), repr=False)

    def shown(self, text: str) -> str:
        """Return a text without the secrets of this repository."""
        for secret in sorted((*self.hidden, self.password), key=len, reverse=True):
            if secret:
                text = text.replace(secret, "***")
        return text
