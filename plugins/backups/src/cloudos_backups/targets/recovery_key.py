"""The recovery key: the repository's password, made by us, as a person writes it down and types it again."""

from __future__ import annotations

import secrets

from cloudos_sdk import InvalidRequest

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GROUPS, _SIZE = 8, 5


def new_key() -> str:
    """Return a key of 200 random bits in eight groups of five letters, none of them easily taken for another."""
    letters = [secrets.choice(_LETTERS) for _ in range(_GROUPS * _SIZE)]
    return "-".join("".join(letters[i : i + _SIZE]) for i in range(0, len(letters), _SIZE))


def password_of(typed: str) -> str:
    """Return the password for a key as somebody typed it: case, spaces and hyphens do not matter.

    Raises InvalidRequest for what was never made by `new_key`.
    """
    letters = "".join(letter for letter in typed.upper() if letter not in " -\t\r\n")
    if len(letters) != _GROUPS * _SIZE or not set(letters) <= set(_LETTERS):
        raise InvalidRequest(
            f"A recovery key has {_GROUPS} groups of {_SIZE} letters and digits, none of them I, O, 0 or 1.",
            code="recovery_key_wrong",
            fields=[{"path": "recovery_key", "message": "is no recovery key"}],
        )
    return letters
