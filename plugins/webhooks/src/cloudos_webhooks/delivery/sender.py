"""Posts a body to a URL through one shared aiohttp session, and returns the outcome with a reason."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudos_sdk.outbound import guarded_connector, private_address, refusal

from cloudos_webhooks.settings import WebhooksSettings

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

LONGEST = 65_536
_SHOWN = 500
_IDLE = 2.0  # shorter than servers keep a connection that waits, so that none is closed under a request
LONGEST_WAIT = 3600.0


class AttemptOutcome(NamedTuple):
    """How one try went: the status, or why there was none, and the beginning of the answer."""

    status: int | None
    error: str | None
    excerpt: str
    duration_ms: int
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """Return whether the receiver accepted it (2xx)."""
        return self.error is None

    @property
    def gone(self) -> bool:
        """Return whether the receiver wants no further deliveries (410)."""
        return self.status == 410


class Sender:
    """Sends deliveries; `resolver` replaces the system's name lookup if set before the first use."""

    def __init__(self, settings: WebhooksSettings, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings
        self.resolver = resolver
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def refused_address(self, url: str) -> str | None:
        """Return a forbidden address of the URL's host, or None if there is none or the name does not resolve."""
        return None if self._settings.allow_private else await private_address(url, self.resolver)

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> AttemptOutcome:
        """Send once. Raises nothing: an error is an outcome."""
        session = self._session or await self._open()
        start = time.perf_counter()
        status: int | None = None
        retry_after: float | None = None
        error: str | None = None
        taken = bytearray()
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                if status >= 300:
                    retry_after = _seconds(answer.headers.get("Retry-After"))
                await _read(answer, taken)
        except Exception as cause:  # noqa: BLE001 - whatever a receiver can cause; it is told to the webhook's owner
            if status is None:
                error = self._in_words(cause)
        if status is not None and not 200 <= status < 300:
            error = f"the receiver answered {status}" + ("; redirects are not followed" if status // 100 == 3 else "")
        took = round((time.perf_counter() - start) * 1000)
        return AttemptOutcome(status, error, _text(taken), took, retry_after)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                await asyncio.to_thread(_import)
                import aiohttp

                self._session = aiohttp.ClientSession(
                    connector=guarded_connector(
                        allow_private=self._settings.allow_private,
                        resolver=self.resolver,
                        limit=0,  # each webhook sends one at a time, which is the limit of each target
                        keepalive_timeout=_IDLE,
                    ),
                    timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
                    headers={
                        "Content-Type": "application/json",
                        "User-Agent": "CloudOS-Webhooks/1",
                        "Accept-Encoding": "identity",
                    },
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                )
            return self._session

    def _in_words(self, error: Exception) -> str:
        import aiohttp

        refused = refusal(error)
        if refused is not None:
            return f"{refused}; the setting `allow_private` would allow it"
        match error:
            case TimeoutError():
                return f"no answer within {self._settings.timeout_seconds:g} s"
            case aiohttp.ClientConnectorDNSError():
                return f"the name {error.host} cannot be looked up"
            case aiohttp.ClientConnectorCertificateError():
                return f"the receiver's certificate does not hold: {error.certificate_error}"
            case aiohttp.ClientConnectorError():
                return f"cannot connect: {error.strerror or error}"
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
                return "the connection was closed before an answer came"
            case aiohttp.ClientResponseError():
                return "what came back is no answer of HTTP"
            case _:
                return f"it could not be sent ({type(error).__name__})"


def _import() -> None:
    import aiohttp  # noqa: F401 - takes up to half a second, which the event loop does not have


async def _read(answer: Any, taken: bytearray) -> None:
    """Take the answer's beginning; one that is longer than the cap is cut off with its connection."""
    while not answer.content.at_eof():
        taken += await answer.content.readany()
        if len(taken) >= LONGEST:
            answer.close()
            return


def _text(taken: bytearray) -> str:
    return taken[: _SHOWN * 4].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")[:_SHOWN]


def _seconds(given: str | None) -> float | None:
    if given is None or not given.isdecimal():  # a date is allowed too, and as good as none
        return None
    return min(LONGEST_WAIT, float(given))
