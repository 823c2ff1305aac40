"""Untrusted text in line-based records: the log, the audit log and its exports."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return a text with line ends and terminal control characters escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
