"""Captures the receiver's answers to a notification: HTTP responses and SMTP replies.

Apprise tells success or failure and throws the answer away. So the two calls that every sender of it goes through are
observed, as instrumentation for tracing does it, and only while `listening` in the same context; in the process that
sends (`courier`), in which nothing else uses them. HTTP bodies are read to 64 KB and for ten seconds; a far side that
drips its headers or replies holds a thread for longer, and is ended with that process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from cloudos_alerts.notify.forbidden_addresses import refuse

_LONGEST_BODY = 65_536
_LONGEST_READ = 10.0
_EXCERPT = 500


@dataclass
class CapturedResponse:
    """The answers of one sending, in order: status and text."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    trouble: str | None = None

    def verdict(self) -> tuple[int | None, str | None]:
        """Return the answer that decided: the first refusal, else the last."""
        refusals = [answer for answer in self.answers if answer[0] >= 400]
        chosen = refusals[:1] or self.answers[-1:]
        return chosen[0] if chosen else (None, None)


_heard: ContextVar[CapturedResponse | None] = ContextVar("cloudos_alerts_heard", default=None)
_observed = False


@contextmanager
def listening() -> Iterator[CapturedResponse]:
    """Capture the answers to everything sent in this context."""
    _observe()
    heard = CapturedResponse()
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def _observe() -> None:
    global _observed
    if _observed:
        return
    _observed = True
    import smtplib

    import requests

    requests.Session.send = _answering(requests.Session.send)  # type: ignore[method-assign]
    smtplib.SMTP.getreply = _replying(smtplib.SMTP.getreply)  # type: ignore[method-assign]


def _answering(send: Any) -> Any:
    @wraps(send)
    def observed(session: Any, request: Any, **kwargs: Any) -> Any:
        heard = _heard.get()
        if heard is None:
            return send(session, request, **kwargs)
        try:
            refuse(urlsplit(request.url).hostname or "")  # a proxy would connect to it for us
            response = send(session, request, **{**kwargs, "stream": True})
            _read(response)
        except Exception as error:
            heard.trouble = str(error)
            raise
        heard.answers.append((response.status_code, response.text[:_EXCERPT].strip()))
        return response

    return observed


def _read(response: Any) -> None:
    """Read the body up to the limit, so that later reads find it."""
    until, body = time.monotonic() + _LONGEST_READ, b""
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) >= _LONGEST_BODY or time.monotonic() > until:
            break
    response._content, response._content_consumed = body[:_LONGEST_BODY], True
    response.close()


def _replying(getreply: Any) -> Any:
    @wraps(getreply)
    def observed(connection: Any) -> Any:
        heard = _heard.get()
        code, text = getreply(connection)
        if heard is not None and code not in (221, 334, 354):  # farewells and half-way marks
            heard.answers.append((code, text.decode("utf-8", "replace")[:_EXCERPT]))
        return code, text

    return observed
