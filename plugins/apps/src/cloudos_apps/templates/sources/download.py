"""Fetch a catalogue from the web, and from nowhere inside: addresses are checked at the moment of the connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from cloudos_sdk.outbound import check_url, guarded_connector, refusal

from cloudos_apps.templates.formats.common import UnsupportedTemplate
from cloudos_apps.templates.formats.detect import LONGEST

_SECONDS, _REDIRECTS = 20, 3


@dataclass(frozen=True)
class Download:
    """The text at a URL and its entity tag; `text` is None if unchanged."""

    text: str | None
    etag: str | None


async def fetch(url: str, etag: str | None, *, allow_private: bool) -> Download:
    """Fetch a text by HTTP(S). Raises UnsupportedTemplate with the reason."""
    import aiohttp

    headers = {"Accept": "application/json, application/yaml, */*", "Accept-Encoding": "identity"}
    if etag:
        headers["If-None-Match"] = etag
    connector = guarded_connector(allow_private=allow_private, limit=1, force_close=True)
    limit = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=limit,
            headers=headers,
            auto_decompress=False,  # what a small answer grows to is nothing to find out in the event loop
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            for _ in range(_REDIRECTS + 1):
                check(url)
                async with session.get(url, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                        url = urljoin(url, answer.headers["Location"])
                        continue
                    if answer.status == 304:
                        return Download(None, etag)
                    if answer.status != 200:
                        raise UnsupportedTemplate(f"the server answered {answer.status}")
                    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                        raise UnsupportedTemplate("the server compresses it, which was not asked for")
                    return Download(await _text(answer), _tag(answer.headers.get("ETag")))
            raise UnsupportedTemplate(f"the server redirected more than {_REDIRECTS} times")
    except TimeoutError:
        raise UnsupportedTemplate(f"the server did not answer within {_SECONDS} seconds") from None
    except UnsupportedTemplate:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a server makes the client raise, there is no catalogue
        raise UnsupportedTemplate(_in_words(error)) from None


def check(url: str) -> None:
    """Raise UnsupportedTemplate for an invalid URL."""
    try:
        check_url(url)
    except ValueError as error:
        raise UnsupportedTemplate(str(error)) from None


def shown(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***{at}{place}" if user else place, query="***" if parts.query else "").geturl()


def _tag(given: str | None) -> str | None:
    """Return an entity tag that can be kept and sent again."""
    return given if given and len(given) <= 200 and given.isascii() and given.isprintable() else None


async def _text(answer: Any) -> str:
    taken = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        taken += chunk
        if len(taken) > LONGEST:
            raise UnsupportedTemplate(f"it is larger than {LONGEST} bytes")
    try:
        return taken.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnsupportedTemplate("it is not text in UTF-8") from None


def _in_words(error: BaseException) -> str:
    refused = refusal(error)
    if refused is not None:
        return f"{refused}; `template_sources_allow_private` would allow it"
    return f"the server cannot be reached ({type(error).__name__})"
