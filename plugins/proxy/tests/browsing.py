"""A browser's way of calling: cookies, redirects, and names that all lead to loopback."""

from __future__ import annotations

from typing import Any

import httpx

PAGE = {"Accept": "text/html,application/xhtml+xml"}


class _Loopback(httpx.HTTPTransport):
    """Sends every request to this machine, whatever its name."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        try:
            return super().handle_request(sent)
        except httpx.RemoteProtocolError:
            if request.method not in ("GET", "HEAD"):
                raise
            return super().handle_request(sent)  # as browsers do, where a kept connection was closed


class Browser(httpx.Client):
    """A browser that does what the script of the sign-in page does: it keeps the CSRF token, and goes on by it."""

    csrf_token: str | None = None

    def get(self, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """Open a page; on the sign-in page, go on where the session of the node holds."""
        answer = super().get(url, **options)
        onward = self.onward(answer) if options.get("follow_redirects", True) else None
        return answer if onward is None else super().get(onward, **options)

    def onward(self, page: httpx.Response) -> str | None:
        """Return where the page's script goes on to; None where it asks for a password."""
        asked = dict(page.url.params)
        if page.url.path != "/api/proxy/handover" or page.status_code != 200 or "again" in asked or not self.csrf_token:
            return None
        answer = self.post(
            page.url.copy_with(query=None), json=asked, headers={"X-CSRF-Token": self.csrf_token, "Accept": "*/*"}
        )
        return str(answer.json()["location"]) if answer.status_code == 200 else None


def browser() -> Browser:
    """Return a browser without cookies; it asks for pages and follows redirects."""
    return Browser(transport=_Loopback(verify=False), headers=PAGE, follow_redirects=True, timeout=15)


def cookies_of(client: httpx.Client, host: str) -> dict[str, str]:
    """Return the cookies that it has for a host."""
    return {cookie.name: cookie.value for cookie in client.cookies.jar if cookie.domain.lstrip(".").startswith(host)}
