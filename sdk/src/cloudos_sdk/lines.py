"""Texts that others wrote, where a line is a record: in the log, in the audit log, in what is exported of it."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return a text without what ends a line or steers a terminal; each such character as its escape."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
