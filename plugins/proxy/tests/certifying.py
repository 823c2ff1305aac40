"""Certificates of the tests' own making, and those that a door shows."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

START = datetime(2026, 1, 1, tzinfo=UTC)  # of the held clock


def served(node, hostname, trust=None):
    """Return the certificate that the door shows for a name; verified, where something trusts it."""
    context = trust or ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", node.https_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


async def ssl_of(node, domain_id):
    status, found = await node.call("GET", f"/api/domains/{domain_id}/ssl")
    assert status == 200, found
    return found


async def until_status(node, domain_id, *statuses, seconds=20):
    async def there():
        found = await ssl_of(node, domain_id)
        return found if found["status"] in statuses else None

    return await node.until(there, seconds)


async def add(node, domain, **more):
    status, found = await node.call("POST", "/api/domains", {"domain": domain, **more})
    assert status == 201, found
    return found


async def events(node, *types):
    return [event for event in await node.host.event_log() if event.type in types]


def make_pair(*names, now=START, days=90, curve=None):
    """Return a self-signed certificate and its key, PEM, for `days` from `now`."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode()


def shown(node, hostname, trust):
    try:
        return served(node, hostname, trust)
    except OSError:
        return None
