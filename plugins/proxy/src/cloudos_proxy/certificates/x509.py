"""Reading and checking certificates: uploaded ones, and those that Caddy keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

INTERNAL = "local"
"""The name of Caddy's own CA in its storage."""


WITHOUT_ERROR: dict[str, Any] = {"error_code": None, "error": None, "error_at": None}
WITHOUT_CERTIFICATE: dict[str, Any] = {"serial": None, "issuer": None, "not_before": None, "not_after": None}


class BadCertificate(ValueError):
    """An uploaded certificate or key is invalid; `field` is `certificate` or `private_key`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Certificate:
    """A certificate: serial number (hex), issuer, validity and DNS names."""

    serial: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]

    def covers(self, hostname: str) -> bool:
        """Return whether it covers a hostname, which may be a wildcard itself (RFC 6125, 6.4.3)."""
        wildcard = f"*.{hostname.partition('.')[2]}"
        return hostname in self.names or wildcard in self.names


def check_pair(certificate: str, key: str, hostname: str, now: datetime) -> Certificate:
    """Check an uploaded chain against key, hostname and time; return its certificate. Raises BadCertificate. Blocks."""
    chain = _chain(certificate)
    found = _read(chain[0])
    _check_key(chain[0], key)
    if found.not_after <= now:
        raise BadCertificate("certificate", f"expired on {found.not_after:%Y-%m-%d}")
    if found.not_before > now:
        raise BadCertificate("certificate", f"is not valid before {found.not_before:%Y-%m-%d %H:%M} UTC")
    if not found.covers(hostname):
        names = ", ".join(found.names[:5]) or "no name"
        raise BadCertificate("certificate", f"is for {names}, not for {hostname}")
    return found


def stored_certificate(storage: Path, hostname: str, *, internal: bool) -> Certificate | None:
    """Return the newest certificate of a hostname in Caddy's storage, or None. Blocks."""
    safe = hostname.replace("*", "wildcard_")
    found = []
    for path in storage.glob(f"certificates/*/{safe}/{safe}.crt"):
        if (path.parent.parent.name == INTERNAL) == internal:
            try:
                found.append(_read(_chain(path.read_text())[0]))
            except (OSError, ValueError):  # it is being written, or is not ours to judge
                continue
    return max(found, key=lambda certificate: certificate.not_before, default=None)


def _chain(text: str) -> list[Any]:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise BadCertificate("certificate", f"is not PEM with certificates: {error}") from None
    for place, (issued, issuer) in enumerate(pairwise(chain), 1):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise BadCertificate(
                "certificate",
                f"is out of order: certificate {place} was not issued by certificate {place + 1}; the domain's own"
                " comes first, its issuers after it",
            ) from None
    return list(chain)


def _read(certificate: Any) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    by = certificate.issuer
    named = [*by.get_attributes_for_oid(NameOID.COMMON_NAME), *by.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return Certificate(
        serial=f"{certificate.serial_number:x}",
        issuer=str(named[0].value) if named else by.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=tuple(names),
    )


def _check_key(certificate: Any, text: str) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise BadCertificate("private_key", "is protected by a password; upload it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadCertificate("private_key", "is not a private key in PEM") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise BadCertificate("private_key", "does not belong to the certificate")


def told(certificate: Certificate) -> dict[str, Any]:
    """Return the columns that tell of a certificate."""
    return {name: getattr(certificate, name) for name in WITHOUT_CERTIFICATE}


def self_signed(hostname: str, now: datetime) -> tuple[str, str]:
    """Return a self-signed certificate for ten years and its key, PEM. Blocks."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode()
