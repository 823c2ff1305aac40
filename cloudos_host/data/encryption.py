"""Encryption at rest: one key file of the host, mode 0600, outside the database; each plugin has a key of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from functools import cached_property
from pathlib import Path
from typing import Any

KEY_BYTES = 32


def make_host_key(data_dir: Path) -> bytes:
    """Make the host's key at the first start, whole or not at all."""
    path, fresh = data_dir / "host.key", data_dir / "host.key.new"
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    return path.read_bytes()


class PluginSecrets:
    """Encrypts for one plugin. The library is loaded at the first use: it is a fifteenth of a start."""

    def __init__(self, key: bytes, plugin_id: str) -> None:
        self._key = key
        self._id = plugin_id

    @cached_property
    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        return Fernet(base64.urlsafe_b64encode(self._derive("encrypt")))

    @cached_property
    def _digest_key(self) -> bytes:
        return self._derive("digest")

    def _derive(self, purpose: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, salt=None, info=f"cloudos:{self._id}:{purpose}".encode()).derive(self._key)

    def encrypt(self, plain: str) -> str:
        """Return text that only this plugin on this host can decrypt."""
        return str(self._fernet.encrypt(plain.encode()).decode())

    def decrypt(self, cipher: str) -> str:
        """Return the plain text. Raises ValueError if the text was not encrypted with this key."""
        from cryptography.fernet import InvalidToken

        try:
            return str(self._fernet.decrypt(cipher.encode()).decode())
        except InvalidToken:
            raise ValueError("not encrypted by this plugin on this host") from None

    def digest(self, secret: str) -> str:
        """Return the keyed hash of a random secret."""
        return hmac.new(self._digest_key, secret.encode(), hashlib.sha256).hexdigest()
