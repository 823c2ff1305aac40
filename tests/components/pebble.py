"""Pebble, an ACME server that really issues, with a DNS server that says what a test tells it. On loopback.

Needs Debian's pebble. The ports at which it looks for challenges are chosen once: the node under test has them.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .ports import free_ports

_PROGRAMS = ("pebble", "pebble-challtestsrv")


@dataclass
class Pebble:
    """A running one: `settings` are those of a node that has its certificates from it."""

    folder: Path
    http_port: int
    https_port: int
    dns_port: int
    directory: str
    _management: str
    _dns_management: str

    @property
    def settings(self) -> dict[str, object]:
        """Return the node's settings."""
        return {
            "http_port": self.http_port,
            "https_port": self.https_port,
            "acme_directory": self.directory,
            "acme_email": "admin@cloud.test",
            "acme_root": str(self.folder / "api.crt"),
            "dns_resolver": f"127.0.0.1:{self.dns_port}",
            "dns_seconds": 1,
        }

    def point(self, hostname: str, *addresses: str) -> None:
        """Have DNS say that a name is at these addresses; without any, that it has none."""
        self._tell("clear-a", {"host": f"{hostname}."})
        self._tell("add-a", {"host": f"{hostname}.", "addresses": list(addresses)})

    def lose(self, hostname: str) -> None:
        """Have DNS know nothing of a name."""
        self._tell("set-servfail", {"host": f"{hostname}."})

    def orders(self) -> int:
        """Return how many orders it was ever sent."""
        return (self.folder / "pebble.log").read_text().count("/order-plz")

    def trust(self) -> ssl.SSLContext:
        """Return what verifies the certificates that it issues."""
        context = ssl.create_default_context(cafile=str(self.folder / "api.crt"))
        with urllib.request.urlopen(f"{self._management}/roots/0", context=context, timeout=5) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())

    def _tell(self, what: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(f"{self._dns_management}/{what}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=5).close()


@pytest.fixture(scope="session")
def pebble_server() -> Iterator[Pebble]:
    """Run Pebble and its DNS server for the whole session."""
    if any(shutil.which(name) is None for name in _PROGRAMS):
        pytest.skip("no ACME server for the tests: apt-get install -y pebble")
    folder = Path(tempfile.mkdtemp(prefix="cos-pebble-", dir="/tmp"))
    http, https, dns, dns_management, directory, management = free_ports(6)
    _write_certificate(folder)
    config = {
        "listenAddress": f"127.0.0.1:{directory}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "api.crt"),
        "privateKey": str(folder / "api.key"),
        "httpPort": http,
        "tlsPort": https,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    nowhere = [part for name in ("http01", "https01", "tlsalpn01", "defaultIPv6") for part in (f"-{name}", "")]
    dns_command = [
        "pebble-challtestsrv", *nowhere, "-defaultIPv4", "127.0.0.1", "-dns01", f"127.0.0.1:{dns}",
        "-management", f"127.0.0.1:{dns_management}",
    ]  # fmt: skip
    command = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}", "-strict"]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_running(dns_command, folder / "dns.log", dns_management))
        stack.enter_context(_running(command, folder / "pebble.log", directory))
        yield Pebble(
            folder,
            http,
            https,
            dns,
            f"https://127.0.0.1:{directory}/dir",
            f"https://127.0.0.1:{management}",
            f"http://127.0.0.1:{dns_management}",
        )


@pytest.fixture
def pebble(pebble_server: Pebble) -> Pebble:
    """Return the ACME server."""
    return pebble_server


@contextlib.contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[None]:
    environ = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    try:
        end = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _write_certificate(folder: Path) -> None:
    """Write the certificate of its API."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pebble")])
    hour = datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - hour, now + 48 * hour)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (folder / "api.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "api.key").write_bytes(key.private_bytes(*form))
