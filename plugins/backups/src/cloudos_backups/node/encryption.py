"""What only the recovery key opens, also for who reads the backup's files: keys and settings with secrets."""

from __future__ import annotations

import base64
from typing import Any


def _box(password: str) -> Any:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # the password is random and long; a slow derivation would add nothing
    key = HKDF(SHA256(), 32, salt=None, info=b"cloudos:backups:seal").derive(password.encode())
    return Fernet(base64.urlsafe_b64encode(key))


def seal(password: str, plain: bytes) -> bytes:
    """Return what `unseal` opens with the same password."""
    sealed: bytes = _box(password).encrypt(plain)
    return sealed


def unseal(password: str, sealed: bytes) -> bytes:
    """Return what was sealed; ValueError where it was not, or with another password."""
    from cryptography.fernet import InvalidToken

    try:
        plain: bytes = _box(password).decrypt(sealed)
    except InvalidToken:
        raise ValueError("it was sealed with another key") from None
    return plain
