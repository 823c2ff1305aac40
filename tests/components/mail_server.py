"""An SMTP server on loopback that keeps the mail it is given (aiosmtpd)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from .ports import free_port


@dataclass
class MailServer:
    """A running server. `refusal` is its reply to the next mails, such as `550 no such user`."""

    host: str
    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    refusal: str | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """Take or refuse a recipient."""
        if self.refusal is not None:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail."""
        mail: Any = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(mail)
        return f"250 OK: taken as number {len(self.mails)}"


def text_of(mail: EmailMessage) -> str:
    """Return the plain text of a mail."""
    part = mail.get_body(preferencelist=("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """Serve SMTP without TLS."""
    from aiosmtpd.controller import Controller

    port = free_port()  # the controller cannot take any free port by itself
    server = MailServer("127.0.0.1", port)
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    yield server
    controller.stop()
