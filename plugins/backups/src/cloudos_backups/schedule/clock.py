"""The random wait before a start, so that a thousand nodes do not call one server in the same second."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta


def starts_at(due: datetime | None, window_minutes: int) -> datetime | None:
    """Return when a backup that is due begins: at a random second of its window."""
    if due is None or window_minutes <= 0:
        return due
    return due + timedelta(seconds=secrets.randbelow(window_minutes * 60))
