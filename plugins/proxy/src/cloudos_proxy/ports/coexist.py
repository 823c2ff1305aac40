"""Gives the snippet for the web server in front, with a certificate to begin with."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

from cloudos_sdk import Context

from cloudos_proxy.certificates.x509 import self_signed
from cloudos_proxy.ports.coexist_snippet import snippet
from cloudos_proxy.settings import ProxySettings


class Coexistence:
    """The snippets, right for the ports in use."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def snippet(self, server: str) -> str:
        """Return the snippet for `nginx` or `apache`. The certificate in it is made at the first call."""
        settings: ProxySettings = self._ctx.settings
        folder = self._ctx.data_dir / "certificates"
        certificate, key = folder / "front.crt", folder / "front.key"
        await asyncio.to_thread(_make, certificate, key, self._ctx.clock.now())
        return snippet(
            server,
            http=settings.http_port,
            https=settings.https_port,
            port=settings.coexist_port,
            certificate=str(certificate),
            key=str(key),
            stands_behind=settings.mode == "coexist",
        )


def _make(certificate: Path, key: Path, now: datetime) -> None:
    """Make certificate and key if they are missing; the key has mode 0600."""
    if certificate.exists():
        return
    certificate.parent.mkdir(mode=0o700, exist_ok=True)
    pair = self_signed("cloudos.invalid", now)
    for path, text in ((key, pair[1]), (certificate, pair[0])):
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.rename(path)
