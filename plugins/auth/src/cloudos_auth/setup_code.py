"""The one-time code of a node that is not set up: whoever has it stands at the machine or reads its log."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""None that is read as another: no I, L, O, 0 and 1."""


class SetupCode:
    """A file `setup-code` in the plugin's folder, mode 0600, from the first start to the first account."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._path = folder / "setup-code"
        self._log = log
        self._code: str | None = None

    def issue(self) -> None:
        """Make the code, or read that of an earlier start, and write it to the log."""
        try:
            self._code = self._path.read_text().strip() or None
        except OSError:
            self._code = None
        if self._code is None:
            letters = "".join(secrets.choice(_LETTERS) for _ in range(12))
            self._code = "-".join(letters[place : place + 4] for place in (0, 4, 8))
            try:
                with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                    file.write(self._code + "\n")
            except OSError as error:
                self._log.warning("the set-up code cannot be stored", file=str(self._path), reason=str(error))
        self._log.warning("the node is not set up; from another machine this code is asked for", code=self._code)

    def fits(self, given: str) -> bool:
        """Tell whether a code is the right one; dashes, spaces and case do not count."""
        return self._code is not None and hmac.compare_digest(_plain(given).encode(), _plain(self._code).encode())

    def withdraw(self) -> None:
        """Forget the code: there is an account."""
        self._code = None
        self._path.unlink(missing_ok=True)


def at_the_machine(address: str | None, headers: Headers) -> bool:
    """Tell whether a caller is on this machine itself: by no proxy, and by no name that leads here from elsewhere.

    A page of another site can have its name lead to 127.0.0.1, but cannot change the name that its requests carry.
    """
    if any(name in headers for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via")):
        return False
    if not _is_loopback(address):
        return False
    try:
        name = urlsplit(f"//{headers.get('Host', '')}").hostname or "localhost"
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str | None) -> bool:
    """Tell whether an address is of this machine; who comes by a Unix socket has none."""
    if address is None or address == "<local>":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _plain(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter not in "- ")
