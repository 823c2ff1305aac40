"""Sign-in by cookie: what a browser sends to every port of the host is worth nothing without what it sends to one."""

import asyncio
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

ACCOUNT = {"username": "admin", "password": "a long password"}


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ACCOUNT)
    return host


async def signed_in(host, **headers):
    answer = await host.anonymous.post("/api/auth/login", json={**ACCOUNT, "cookie": True}, headers=headers)
    body = await answer.get_json()
    assert set(body) == {"csrf_token", "token_type"}
    return answer.headers.getlist("Set-Cookie"), body["csrf_token"]


def sent(set_cookies):
    return "; ".join(cookie.split(";")[0] for cookie in set_cookies)


async def ask(host, method, path, cookies, token=None):
    headers = {"Cookie": cookies, **({"X-CSRF-Token": token} if token is not None else {})}
    client = host.host.app.test_client(use_cookies=False)
    answer = await client.open(path, method=method, headers=headers, json={} if method != "GET" else None)
    return answer.status_code, (await answer.get_json() if answer.status_code != 204 else answer.headers)


async def test_a_browser_signs_in_by_cookie_and_sends_the_csrf_token_with_every_request(node):
    set_cookies, token = await signed_in(node)
    assert {cookie.split("=")[0] for cookie in set_cookies} == {"cloudos_access", "cloudos_refresh"}
    assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in set_cookies)
    assert "Path=/api/auth/refresh" in next(c for c in set_cookies if c.startswith("cloudos_refresh"))
    cookies = sent(set_cookies)
    for method, path in (("GET", "/api/auth/me"), ("POST", "/api/auth/totp/enable"), ("POST", "/api/auth/refresh")):
        for wrong in (None, "", "x", token[:-1]):
            status, error = await ask(node, method, path, cookies, wrong)
            assert (status, error["error"]) == (403, "csrf_failed"), (path, wrong)
    assert (await ask(node, "GET", "/api/auth/me", cookies, token))[0] == 200
    assert (await ask(node, "POST", "/api/auth/totp/enable", cookies, token))[0] == 200
    status, fresh = await ask(node, "POST", "/api/auth/refresh", cookies, token)
    assert (status, fresh["csrf_token"]) == (200, token)
    status, headers = await ask(node, "POST", "/api/auth/logout", cookies, token)
    assert status == 204
    gone = headers.getlist("Set-Cookie")
    assert {c.split("=")[0] for c in gone} >= {"cloudos_access", "__Host-cloudos_access", "cloudos_refresh"}
    assert (await ask(node, "GET", "/api/auth/me", cookies, token))[0] == 401


async def test_no_token_of_a_session_tells_its_csrf_token(node):
    set_cookies, token = await signed_in(node)
    assert token not in str(set_cookies)
    other_cookies, other = await signed_in(node)
    assert other != token
    assert (await ask(node, "GET", "/api/auth/me", sent(other_cookies), token))[0] == 403


async def test_over_https_the_names_are_bound_to_the_host(node):
    set_cookies, token = await signed_in(node, **{"X-Forwarded-Proto": "https"})
    assert {c.split("=")[0] for c in set_cookies} == {"__Host-cloudos_access", "__Host-cloudos_refresh"}
    assert all("Secure" in cookie and "Path=/;" in f"{cookie};" for cookie in set_cookies)
    assert (await ask(node, "GET", "/api/auth/me", sent(set_cookies), token))[0] == 200
    assert (await ask(node, "POST", "/api/auth/refresh", sent(set_cookies), token))[0] == 200


async def test_cookies_of_the_same_name_that_another_server_set_first_harm_nothing(node):
    theirs, _ = await signed_in(node)
    mine, token = await signed_in(node)
    for first in ("cloudos_access=x; cloudos_refresh=y", sent(theirs), "; ".join([sent(theirs), "cloudos_access=z"])):
        cookies = f"{first}; {sent(mine)}"
        status, me = await ask(node, "GET", "/api/auth/me", cookies, token)
        assert (status, me["username"]) == (200, "admin")
    assert (await ask(node, "POST", "/api/auth/refresh", f"{sent(theirs)}; {sent(mine)}", token))[0] == 200


async def test_what_a_server_on_another_port_receives_lets_nobody_in(node):
    """A real client, whose cookie jar knows no ports, and real servers on two ports of one host."""
    seen = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    other = HTTPServer(("127.0.0.1", 0), Other)
    Thread(target=other.serve_forever, daemon=True).start()
    config, stop = Config(), asyncio.Event()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    (listening,) = config.create_sockets().insecure_sockets
    listening.listen(10)
    config.bind = [f"fd://{listening.fileno()}"]
    serving = asyncio.create_task(serve(node.host.app, config, shutdown_trigger=stop.wait))
    here = f"http://localhost:{listening.getsockname()[1]}"
    there = f"http://localhost:{other.server_port}"
    async with httpx.AsyncClient() as browser, httpx.AsyncClient() as thief:
        token = (await browser.post(f"{here}/api/auth/login", json={**ACCOUNT, "cookie": True})).json()["csrf_token"]
        mine = await browser.get(f"{here}/api/auth/me", headers={"X-CSRF-Token": token})
        assert mine.status_code == 200
        await browser.get(f"{there}/")
        await browser.get(f"{there}/api/auth/refresh")
        stolen = seen[1]["cookie"] if "cookie" in seen[1] else seen[1]["Cookie"]
        assert "cloudos_access" in stolen and "cloudos_refresh" in stolen, "browsers do send them"
        assert token not in str(seen)
        for method, path in (
            ("GET", "/api/auth/me"),
            ("GET", "/api/users"),
            ("GET", "/api/auth/sessions"),
            ("GET", "/api/events"),
            ("POST", "/api/auth/refresh"),
            ("POST", "/api/auth/logout"),
        ):
            answer = await thief.request(method, f"{here}{path}", headers={"Cookie": stolen}, json={})
            assert (answer.status_code, answer.json()["error"]) == (403, "csrf_failed"), path
        assert (await browser.get(f"{here}/api/auth/me", headers={"X-CSRF-Token": token})).status_code == 200
    stop.set()
    await serving
    other.shutdown()


async def test_a_refresh_by_cookie_needs_no_body_and_a_wrong_one_is_told(node):
    set_cookies, token = await signed_in(node)
    client = node.host.app.test_client(use_cookies=False)
    headers = {"Cookie": sent(set_cookies), "X-CSRF-Token": token}
    assert (await client.post("/api/auth/refresh", headers=headers)).status_code == 200
    for body, said in (("[]", "must be a JSON object"), ("{", "not JSON"), ('{"a": 1}', "a: "), ("{}", "is missing")):
        answer = await client.post("/api/auth/refresh", data=body, headers={"Content-Type": "application/json"})
        error = await answer.get_json()
        assert (answer.status_code, error["error"]) == (400, "invalid_request")
        assert said in error["message"] and "Refresh" not in error["message"], error
