"""Names of hosts, in the one form in which they are kept and compared (RFC 1123, RFC 5890)."""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 253


class BadHostname(ValueError):
    """It is no hostname; the message says why."""


def normalise(text: str) -> str:
    """Return a hostname in lower case and ASCII, without a trailing dot; a first label `*` stays."""
    name = text.removesuffix(".")
    wildcard = name.startswith("*.")
    name = name.removeprefix("*.") if wildcard else name
    if not name.isascii():
        name = _to_ascii(name, text)
    name = name.lower()
    _refuse_address(name, text)
    labels = name.split(".")
    if len(labels) < 2:
        raise BadHostname(f"{text!r} is no full hostname such as git.example.com")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise BadHostname(f"{text!r} is no hostname: {label!r} is not made of letters, digits and hyphens within")
        if label.startswith("xn--"):
            _check_punycode(label, text)
    whole = f"*.{name}" if wildcard else name
    if len(whole) > _LONGEST:
        raise BadHostname(f"{text[:40]!r}… is longer than {_LONGEST} characters")
    return whole


def covers(wildcard: str, name: str) -> bool:
    """Return whether a wildcard such as `*.example.com` covers a name."""
    return wildcard.startswith("*.") and name.partition(".")[2] == wildcard[2:]


def _to_ascii(name: str, text: str) -> str:
    import idna

    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        raise BadHostname(f"{text!r} is no hostname: {error}") from None


def _check_punycode(label: str, text: str) -> None:
    import idna

    try:
        idna.decode(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise BadHostname(f"{text!r} is no hostname: {error}") from None


def _refuse_address(name: str, text: str) -> None:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not name.rpartition(".")[2].isdigit():
            return
    raise BadHostname(f"{text!r} is an address; a route needs a name")
