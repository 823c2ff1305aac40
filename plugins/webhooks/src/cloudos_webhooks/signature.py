"""Signs deliveries as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Signer:
    """Signs with a secret, and for as long as they hold with those that it replaced."""

    def __init__(self, secret: str, previous: Sequence[tuple[str, datetime]] = ()) -> None:
        self._current = Webhook(secret)
        self._previous = [(Webhook(old), until) for old, until in previous]

    def headers(self, message_id: str, now: datetime, body: str) -> dict[str, str]:
        """Return the headers of one try at `now`; `message_id` is the same for all tries of a message."""
        signature = self._current.sign(message_id, now, body)
        for key, until in self._previous:
            if now < until:
                signature += " " + key.sign(message_id, now, body)
        stamp = str(int(now.timestamp()))
        return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature}
