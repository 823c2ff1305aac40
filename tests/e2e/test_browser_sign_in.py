"""A person in a real browser in front of an app that asks for a sign-in, over TLS of Caddy's internal CA."""

import json
import os
import sys
import time
from pathlib import Path

import pyotp
import pytest
from components.environments import WHO, serving
from components.ports import free_ports

CLOUDOS = Path(sys.executable).with_name("cloudos")
PAGE = "/notes/a?b=c&d=%2F"


class Home:
    """A node at `home.test` with an app at `git.home.test` behind its gate."""

    def __init__(self, server, port):
        self.server, self.port = server, port

    def at(self, name, path="/"):
        return f"https://{name}:{self.port}{path}"

    def ask(self, method, path, body=None):
        status, answer = self.server.request(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer


@pytest.fixture(scope="module")
def home(tmp_path_factory, echo_app, caddy_program):
    http, https = free_ports(2)
    environ = {
        "CLOUDOS_HOST__DISABLED": '["apps", "system", "dashboard", "alerts", "webhooks", "notes", "memory", "audit"]',
        "CLOUDOS_HOST__TRUST_PROXY": "true",
        "CLOUDOS_PROXY__BASE_DOMAIN": "home.test",
        "CLOUDOS_PROXY__BIND_ADDRESS": "127.0.0.1",
        "CLOUDOS_PROXY__HTTP_PORT": str(http),
        "CLOUDOS_PROXY__HTTPS_PORT": str(https),
        "CLOUDOS_PROXY__CADDY_PROGRAM": str(caddy_program),
        "CLOUDOS_PROXY__ROUTE_CERTIFICATES": "internal",
    }
    folder = os.path.relpath(tmp_path_factory.mktemp("home"))  # as `make serve` names it: not from the root on
    command = [CLOUDOS, "serve", "--port", "0", "--data-dir", folder]
    with serving(command, **environ) as server:
        server.sign_in()
        home = Home(server, https)
        app = {"upstream_type": "manual", "upstream_addr": echo_app, "require_auth": True}
        home.ask("POST", "/api/proxy/routes", {"hostname": "git.home.test", **app})
        home.ask("POST", "/api/proxy/routes", {"hostname": "vault.home.test", **app, "allowed_roles": ["admin"]})
        assert home.ask("POST", "/api/proxy/apply")["applied"] == 3
        yield home


@pytest.fixture
def page(chromium):
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def fill_in(page, who):
    page.get_by_label("User name").fill(who["username"])
    page.get_by_label("Password").fill(who["password"])
    page.get_by_role("button", name="Sign in").click()


def sign_in(home, page, who=WHO):
    """Come to the app, sign in on the page that is shown instead, and be where one wanted to be."""
    page.goto(home.at("git.home.test", PAGE))
    assert page.url.startswith(home.at("home.test", "/api/proxy/handover?"))
    assert page.title() == "Sign in" and page.get_by_text("git.home.test").is_visible()
    fill_in(page, who)
    return arrived(home, page)


def arrived(home, page):
    """Wait for the app's own page; return what the app was sent."""
    page.wait_for_url(home.at("git.home.test", PAGE))
    return json.loads(page.inner_text("body"))


def test_a_person_signs_in_and_is_where_they_wanted_to_be(home, page):
    seen = sign_in(home, page)
    assert (seen["path"], seen["headers"]["remote-user"], seen["headers"]["remote-groups"]) == (PAGE, "root", "admin")
    assert "cloudos" not in seen["headers"].get("cookie", "")
    assert "Caddy" in page.reload().security_details()["issuer"]
    cookies = page.context.cookies()
    assert {each["domain"] for each in cookies} == {"home.test", "git.home.test"}
    assert all(each["httpOnly"] and each["secure"] and each["sameSite"] != "None" for each in cookies)
    page.goto(home.at("vault.home.test", "/other"), wait_until="commit")
    page.wait_for_url(home.at("vault.home.test", "/other"))
    assert json.loads(page.inner_text("body"))["path"] == "/other", "a second app asks for no second password"


def test_who_signed_out_is_asked_again_on_the_next_request(home, page):
    sign_in(home, page)
    out = """async () => (await fetch("/api/auth/logout", {method: "POST", headers:
        {"X-CSRF-Token": localStorage.getItem("cloudos.csrf_token")}})).status"""
    app, node = page, page.context.new_page()
    node.goto(home.at("home.test", "/api/health"))
    assert node.evaluate(out) == 204
    app.reload()
    assert app.url.startswith(home.at("home.test", "/api/proxy/handover?")) and app.title() == "Sign in"


def test_a_session_that_is_revoked_elsewhere_is_refused_a_script_too(home, page):
    sign_in(home, page)
    ask = 'async () => (await fetch("/data", {headers: {Accept: "application/json"}})).status'
    assert page.evaluate(ask) == 200
    own = home.server.token
    browsers = [each for each in home.ask("GET", "/api/auth/sessions") if not each["current"]]
    for each in browsers:
        home.ask("DELETE", f"/api/auth/sessions/{each['id']}")
    assert home.server.token == own and page.evaluate(ask) == 401


def test_a_wrong_password_is_told_and_the_right_one_after_it_is_taken(home, page):
    page.goto(home.at("git.home.test", PAGE))
    fill_in(page, {**WHO, "password": "not this one"})
    page.locator("[role=alert]:not(:empty)").wait_for()
    assert "/api/proxy/handover?" in page.url
    fill_in(page, WHO)
    assert arrived(home, page)["headers"]["remote-user"] == "root"


def test_the_page_asks_for_the_second_factor(home, page):
    who = {"username": "careful", "password": "another password"}
    home.ask("POST", "/api/users", {**who, "role": "viewer"})
    own, home.server.token = home.server.token, home.ask("POST", "/api/auth/login", who)["access_token"]
    totp = pyotp.TOTP(home.ask("POST", "/api/auth/totp/enable")["secret"])
    codes = home.ask("POST", "/api/auth/totp/verify", {"code": totp.now()})
    home.server.token = own
    assert codes == {"totp_enabled": True}
    page.goto(home.at("git.home.test", PAGE))
    fill_in(page, who)
    page.get_by_label("Code of your second factor").fill(totp.at(time.time() + 30))
    page.get_by_role("button", name="Sign in").click()
    assert arrived(home, page)["headers"]["remote-user"] == "careful"


def test_a_session_whose_short_token_ran_out_needs_no_password(home, page):
    sign_in(home, page)
    page.context.clear_cookies(name="__Host-cloudos_access")
    page.context.clear_cookies(domain="git.home.test")
    page.goto(
        home.at("git.home.test", PAGE), wait_until="commit"
    )  # the page goes on by itself, maybe before it is whole
    assert arrived(home, page)["headers"]["remote-user"] == "root"


def test_a_role_that_may_not_come_in_may_sign_in_as_somebody_else(home, page):
    who = {"username": "looking", "password": "another password"}
    home.ask("POST", "/api/users", {**who, "role": "viewer"})
    sign_in(home, page, who)
    page.goto(home.at("vault.home.test", "/"), wait_until="commit")
    page.get_by_text("looking").wait_for()
    page.get_by_role("link", name="Sign in as somebody else").click()
    fill_in(page, WHO)
    page.wait_for_url(home.at("vault.home.test", "/"))
    assert json.loads(page.inner_text("body"))["headers"]["remote-user"] == "root"
