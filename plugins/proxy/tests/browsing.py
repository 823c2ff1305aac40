"""A browser's way of calling: cookies, redirects, and names that all lead to loopback."""

from __future__ import annotations

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
        return super().handle_request(sent)


def browser() -> httpx.Client:
    """Return a browser without cookies; it asks for pages and follows redirects."""
    return httpx.Client(transport=_Loopback(verify=False), headers=PAGE, follow_redirects=True, timeout=15)


def cookies_of(client: httpx.Client, host: str) -> dict[str, str]:
    """Return the cookies that it has for a host."""
    return {cookie.name: cookie.value for cookie in client.cookies.jar if cookie.domain.lstrip(".").startswith(host)}
