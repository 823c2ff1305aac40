"""Forward auth as a browser and as programs meet it: a host in a process of its own, behind its real Caddy."""

from __future__ import annotations

import os
import re
import signal
import time

import httpx
import pyotp
import pytest
from browsing import browser, cookies_of
from signed_on import GIT, OPEN, WIKI, run, wait_for

SPOOFED = {"Remote-User": "root", "Remote-Groups": "admin", "Remote-Email": "root@cloud.test", "Remote-Name": "x"}


@pytest.fixture(scope="module", params=["true", "false"], ids=["auth socket", "API"])
def node(request, tmp_path_factory, echo_app, caddy_program):
    with run(tmp_path_factory.mktemp("sso"), echo_app, "http", CLOUDOS_PROXY__AUTH_SOCKET=request.param) as node:
        yield node


@pytest.fixture
def visitor():
    with browser() as client:
        yield client


def test_a_browser_signs_in_on_the_nodes_page_and_comes_back_where_it_was(node, visitor):
    page = visitor.get(node.at(GIT, "/a/b?c=d&e=%2F"))
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    assert str(page.url).startswith(f"{node.url}/api/proxy/handover?")
    assert "Sign in" in page.text and GIT in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    node.enter(visitor)
    back = visitor.get(page.url)
    assert str(back.url) == node.at(GIT, "/a/b?c=d&e=%2F")
    seen = back.json()["headers"]
    assert (seen["remote-user"], seen["remote-groups"], seen["remote-name"]) == ("root", "admin", "root")
    assert "cloudos" not in seen.get("cookie", ""), "an app sees none of the node's cookies"
    assert set(cookies_of(visitor, GIT)) == {"cloudos_route", "cloudos_state"}
    assert "cloudos_access" not in cookies_of(visitor, GIT)


def test_a_second_name_needs_no_second_password(node, visitor):
    node.enter(visitor)
    assert visitor.get(node.at(GIT)).json()["headers"]["remote-user"] == "root"
    assert visitor.get(node.at(WIKI, "/x")).json()["path"] == "/x"


def test_what_is_open_stays_open(node, visitor):
    answer = visitor.get(node.at(OPEN), headers=SPOOFED | {"Cookie": "a=b"})
    assert answer.status_code == 200


def test_signing_out_holds_on_the_next_request(node, visitor):
    node.enter(visitor, **node.user("going", "admin"))
    csrf = visitor.csrf_token
    assert visitor.get(node.at(GIT)).status_code == 200
    for _ in range(20):
        assert visitor.get(node.at(GIT), follow_redirects=False).status_code == 200
    out = visitor.post(f"{node.url}/api/auth/logout", headers={"X-CSRF-Token": csrf})
    assert out.status_code == 204
    answer = visitor.get(node.at(GIT), follow_redirects=False)
    assert answer.status_code == 302 and answer.headers["Location"].startswith(node.url)


def test_a_disabled_user_is_refused_on_the_next_request(node, visitor):
    who = node.user("leaving", "operator")
    node.enter(visitor, **who)
    assert visitor.get(node.at(GIT)).json()["headers"]["remote-user"] == "leaving"
    (found,) = [user for user in node.api.get("/api/users").json() if user["username"] == "leaving"]
    assert node.api.put(f"/api/users/{found['id']}", json={"disabled": True}).status_code == 200
    assert visitor.get(node.at(GIT), follow_redirects=False).status_code == 302


def test_a_role_that_may_not_is_told_so_and_does_not_go_in_circles(node, visitor):
    who = node.user("looking", "viewer")
    node.enter(visitor, **who)
    assert visitor.get(node.at(GIT)).status_code == 200
    answer = visitor.get(node.at(WIKI))
    assert answer.status_code == 401
    assert str(answer.url).startswith(node.at(WIKI)) or str(answer.url).startswith(node.url)
    assert "looking" in answer.text and "Sign in as somebody else" in answer.text
    program = visitor.get(node.at(WIKI), headers={"Accept": "application/json"})
    assert (program.status_code, program.json()["error"]) == (401, "role_not_allowed")


@pytest.mark.parametrize("credentials", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}])
def test_a_program_without_a_session_is_401_and_its_headers_count_for_nothing(node, credentials):
    answer = browser().get(node.at(GIT), headers={**SPOOFED, **credentials, "Accept": "*/*"})
    assert (answer.status_code, answer.json()["error"]) == (401, "sign_in_required")


def test_a_head_of_a_usual_size_is_judged_and_one_of_very_many_fields_is_refused(node):
    bearer = {"Authorization": f"Bearer {node.key('proxy:read')['key']}", "Accept": "*/*"}
    cookie = {"Cookie": "app=" + "c" * 8192}
    client = browser()
    for _ in range(3):
        assert client.get(node.at(GIT), headers=bearer | cookie).status_code == 200
        many = {f"x-{number}": "v" for number in range(80)}
        assert client.get(node.at(GIT), headers=bearer | many).status_code == 200
        answer = client.get(node.at(GIT), headers=bearer | {f"x-{number}": "v" for number in range(200)})
        assert (answer.status_code, answer.json()["error"]) == (431, "head_too_large")


def test_headers_of_identity_from_a_client_never_reach_the_app(node, visitor):
    node.enter(visitor)
    visitor.get(node.at(GIT))
    odd = {name.upper(): "mallory" for name in SPOOFED} | {"Remote_User": "mallory", "X-Forwarded-Uri": "/else"}
    seen = visitor.get(node.at(GIT, "/here"), headers=odd).json()
    assert seen["path"] == "/here"
    assert seen["headers"]["remote-user"] == "root"
    assert not {"remote-email", "remote_user"} & set(seen["headers"])


OTHER_GATES = [
    "X-WebAuth-User",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "Tailscale-User-Login",
    "X-User-Email",
    "X_User-Email",
    "X-Auth-Roles",
    "x_webauth_user",
    "X-Auth-Request-User",
    "X-Auth_Request-Email",
    "X-Remote-User",
    "X_Remote_Groups",
    "X-Forwarded-User",
    "X-Forwarded-Groups",
    "X-Authentik-Username",
    "X-authentik-groups",
    "X-Authenticated-User",
    "X-Authelia-User",
    "Remote-Role",
    "X-Auth-User",
    "X-Goog-Authenticated-User-Email",
    "Cf-Access-Authenticated-User-Email",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "X-SSL-Client-S-Dn",
]


@pytest.mark.parametrize("name", [GIT, OPEN])
def test_what_other_gates_tell_of_a_user_is_nobodys_to_say(node, visitor, name):
    node.enter(visitor)
    visitor.get(node.at(GIT))
    sent = {name: "mallory" for name in OTHER_GATES} | {"X-Auth-Token": "an app's own", "X-Requested-With": "x"}
    seen = visitor.get(node.at(name), headers=sent).json()["headers"]
    assert {each for each in seen if seen[each] == "mallory"} == set()
    assert (seen["x-auth-token"], seen["x-requested-with"]) == ("an app's own", "x")


def test_an_app_may_be_told_by_the_header_that_it_reads(node, visitor, echo_app):
    told = {"X-WebAuth-User": "{http.request.header.Remote-User}"}
    body = {"hostname": "told.cloud.test", "upstream_type": "manual", "upstream_addr": echo_app, "require_auth": True}
    made = node.api.post("/api/proxy/routes", json={**body, "request_headers": told})
    assert made.status_code == 201, made.text
    assert node.api.post("/api/proxy/apply").json()["errors"] == []
    node.enter(visitor)
    sent = {"X-WebAuth-User": "mallory"}
    assert visitor.get(node.at("told.cloud.test"), headers=sent).json()["headers"]["x-webauth-user"] == "root"


def test_a_post_reaches_the_app_with_its_body(node, visitor):
    node.enter(visitor)
    visitor.get(node.at(GIT))
    answer = visitor.post(node.at(GIT, "/form"), content=b"a=1", follow_redirects=False).json()
    assert (answer["method"], answer["body"]) == ("POST", "a=1")
    refused = browser().post(node.at(GIT, "/form"), content=b"a=1", follow_redirects=False)
    assert refused.status_code == 401, "a form is not sent to the sign-in page: its body would be lost"


def test_tokens_and_keys_work_for_programs_and_stop_here(node):
    token = node.sign_in()["access_token"]
    seen = httpx_get(node, GIT, token).json()["headers"]
    assert seen["remote-user"] == "root" and "authorization" not in seen, "an app never sees the node's own token"
    key = node.key("proxy:read")
    for _ in range(2):
        seen = httpx_get(node, GIT, key["key"]).json()["headers"]
        assert seen["remote-user"] == key["id"], "a key's name is free text: it is nobody's user name"
        assert "authorization" not in seen
    assert httpx_get(node, GIT, node.key("users:read")["key"]).status_code == 401, "its scopes say nothing of this"
    assert node.api.delete(f"/api/keys/{key['id']}").status_code == 204
    assert httpx_get(node, GIT, key["key"]).status_code == 401


def httpx_get(node, name, bearer):
    return browser().get(node.at(name), headers={"Authorization": f"Bearer {bearer}", "Accept": "*/*"})


def test_an_apps_own_authorization_passes_beside_a_session(node, visitor):
    node.enter(visitor)
    visitor.get(node.at(GIT))
    seen = visitor.get(node.at(GIT), headers={"Authorization": "Basic eDp5"}).json()["headers"]
    assert seen["authorization"] == "Basic eDp5"


def test_the_endpoint_itself_answers_as_the_reference_says(node):
    good = node.api.get("/api/auth/validate")
    assert (good.status_code, good.headers["Remote-User"], good.headers["Remote-Groups"]) == (200, "root", "admin")
    assert node.api.get("/api/auth/validate?roles=viewer").status_code == 401
    bad = httpx.get(f"{node.server.url}/api/auth/validate", headers={**SPOOFED, "Accept": "text/html"})
    assert (bad.status_code, bad.json()["error"]) == (401, "sign_in_required")
    assert "Remote-User" not in bad.headers


def test_a_cookie_is_good_for_its_own_name_alone(node, visitor):
    node.enter(visitor)
    visitor.get(node.at(GIT))
    taken = cookies_of(visitor, GIT)["cloudos_route"]
    with browser() as thief:
        answer = thief.get(node.at(WIKI), headers={"Cookie": f"cloudos_route={taken}"}, follow_redirects=False)
        assert answer.status_code == 302
        session, _, mark = taken.partition(".")
        for forged in (session, f"{session}.", f"{session}.{'0' * 64}", f".{mark}", f"{session}x.{mark}", mark):
            answer = thief.get(node.at(GIT), headers={"Cookie": f"cloudos_route={forged}"}, follow_redirects=False)
            assert answer.status_code == 302, forged


def steps(node, visitor, path="/"):
    """Walk up to the code; return the address that would take it."""
    first = visitor.get(node.at(GIT, path), follow_redirects=False)
    second = visitor.get(first.headers["Location"], follow_redirects=False)
    assert second.status_code == 200
    return visitor.onward(second)


def test_a_code_holds_once_and_in_the_browser_that_asked_for_it(node, visitor):
    node.enter(visitor)
    code = steps(node, visitor, "/deep")
    assert re.fullmatch(re.escape(node.at(GIT, "/.cloudos/session?code=")) + r"[\w-]{43}", code)
    with browser() as other:
        answer = other.get(code, follow_redirects=False)
        assert answer.status_code == 400 and "cookie" in answer.text, "it was sent to somebody else's browser"
        assert not cookies_of(other, GIT)
    taken = visitor.get(code, follow_redirects=False)
    assert taken.headers["Location"] == node.at(GIT, "/deep")
    assert "HttpOnly" in taken.headers["Set-Cookie"] and "SameSite=Lax" in taken.headers["Set-Cookie"]
    with browser() as other:
        other.get(node.at(GIT), follow_redirects=False)  # it has a state of its own
        again = other.get(code, follow_redirects=False)
        assert again.headers["Location"] == "/" and "Set-Cookie" not in again.headers


def test_the_cookies_of_the_node_alone_get_no_code_and_open_no_route(node, visitor):
    """What an app on another port of the node's host receives."""
    node.enter(visitor)
    first = visitor.get(node.at(GIT), follow_redirects=False)
    cookies = "; ".join(f"{name}={value}" for name, value in cookies_of(visitor, "localhost").items())
    assert "cloudos_access" in cookies
    with browser() as thief:
        page = thief.get(first.headers["Location"], headers={"Cookie": cookies}, follow_redirects=False)
        assert page.status_code == 200 and "Sign in" in page.text
        asked = dict(page.url.params)
        for headers in ({}, {"X-CSRF-Token": "x"}):
            sent = {"Cookie": cookies, "Accept": "*/*", **headers}
            answer = thief.post(f"{node.url}/api/proxy/handover", json=asked, headers=sent)
            assert (answer.status_code, answer.json()["error"]) == (403, "csrf_failed")
        assert thief.get(node.at(GIT), headers={"Cookie": cookies}, follow_redirects=False).status_code == 302


def test_a_session_is_valid_by_its_cookie_and_token(node, visitor):
    node.enter(visitor)
    asked = {"Accept": "*/*", "X-CSRF-Token": visitor.csrf_token}
    answer = visitor.get(f"{node.url}/api/auth/validate", headers=asked)
    assert (answer.status_code, answer.headers.get("Remote-User")) == (200, "root"), answer.text
    for token in ({}, {"X-CSRF-Token": "x"}):
        assert visitor.get(f"{node.url}/api/auth/validate", headers={"Accept": "*/*", **token}).status_code == 401


def test_a_code_of_one_name_is_nothing_at_another(node, visitor):
    node.enter(visitor)
    code = steps(node, visitor)
    visitor.get(node.at(WIKI), follow_redirects=False)
    answer = visitor.get(code.replace(GIT, WIKI), follow_redirects=False)
    assert "cloudos_route" not in answer.headers.get("Set-Cookie", "")


def test_two_tabs_may_be_on_their_way_at_once(node, visitor):
    node.enter(visitor)
    one, two = steps(node, visitor, "/one"), steps(node, visitor, "/two")
    assert visitor.get(one).json()["path"] == "/one"
    assert visitor.get(two).json()["path"] == "/two"


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.test/",
        "//evil.test/",
        "/relative",
        "javascript:alert(1)",
        "http://git.cloud.test@evil.test/",
        "http://evil.test#git.cloud.test",
        "http://evil.test\\@git.cloud.test/",
        "http://git.cloud.test.evil.test/",
        "http://git.cloud.test:22/",
        "http://open.cloud.test/",
        "ftp://git.cloud.test/",
        "http://git.cloud.test /",
        "http:\\\\git.cloud.test",
        "http://git.cloud.test/\r\nSet-Cookie: a=b",
    ],
)
def test_a_signed_in_browser_is_sent_to_nothing_but_gated_names(node, visitor, to):
    node.enter(visitor)
    query = {"to": to, "state": "0" * 64}
    answer = visitor.get(f"{node.url}/api/proxy/handover", params=query, follow_redirects=False)
    assert answer.status_code == 400 and "Location" not in answer.headers
    program = visitor.get(f"{node.url}/api/proxy/handover", params=query, headers={"Accept": "*/*"})
    assert (program.status_code, program.json()["fields"][0]["path"]) == (400, "to")
    headers = {"Accept": "*/*", "X-CSRF-Token": visitor.csrf_token}
    onward = visitor.post(f"{node.url}/api/proxy/handover", json=query, headers=headers)
    assert (onward.status_code, onward.json()["fields"][0]["path"]) == (400, "to")


def test_a_second_factor_is_asked_for(node, visitor):
    who = node.user("careful", "operator")
    node.enter(visitor, **who)
    csrf = {"X-CSRF-Token": visitor.csrf_token}
    secret = visitor.post(f"{node.url}/api/auth/totp/enable", headers=csrf).json()["secret"]
    totp = pyotp.TOTP(secret)
    verified = visitor.post(f"{node.url}/api/auth/totp/verify", json={"code": totp.now()}, headers=csrf)
    assert verified.json() == {"totp_enabled": True}
    with browser() as fresh:
        page = fresh.get(node.at(GIT, "/second"))
        assert 'id="code"' in page.text
        begun = fresh.post(f"{node.url}/api/auth/login", json={**who, "cookie": True}).json()
        assert begun["totp_required"]
        assert "cloudos_access" not in cookies_of(fresh, "localhost")
        code = {"temp_token": begun["temp_token"], "code": totp.at(time.time() + 30), "cookie": True}
        fresh.csrf_token = fresh.post(f"{node.url}/api/auth/totp/verify", json=code).json()["csrf_token"]
        assert fresh.get(page.url).json()["path"] == "/second"


def test_over_tls_the_cookies_are_bound_to_the_host_and_nothing_else(tmp_path, echo_app, caddy_program, visitor):
    with run(tmp_path, echo_app, "https") as node:
        node.enter(visitor)
        answer = wait_for(lambda: visitor.get(node.at(GIT, "/safe")))
        assert str(answer.url) == node.at(GIT, "/safe") and answer.json()["headers"]["remote-user"] == "root"
        assert set(cookies_of(visitor, GIT)) == {"__Host-cloudos_route", "__Host-cloudos_state"}
        assert "cloudos" not in answer.json()["headers"].get("cookie", "")


def test_the_node_may_have_an_address_of_its_own(tmp_path, echo_app, caddy_program, visitor):
    with run(tmp_path, echo_app, "http", CLOUDOS_PROXY__NODE_URL="https://node.cloud.test:8443") as node:
        answer = visitor.get(node.at(GIT), follow_redirects=False)
        assert answer.headers["Location"].startswith("https://node.cloud.test:8443/api/proxy/handover?")


def test_without_the_host_nobody_comes_in(tmp_path, echo_app, caddy_program, visitor):
    with run(tmp_path, echo_app, "http") as node:
        node.enter(visitor)
        assert visitor.get(node.at(GIT)).status_code == 200
        os.kill(node.server.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(httpx.TimeoutException):
                visitor.get(node.at(GIT), timeout=2)
            assert browser().get(node.at(OPEN)).status_code == 200
        finally:
            os.kill(node.server.process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def operators(node):
    """Return the headers of an operator."""
    token = node.sign_in(**node.user("staging", "operator"))["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_no_code_is_made_for_a_name_that_is_only_staged_and_none_taken_where_it_is_served_no_more(
    node, visitor, operators, echo_app
):
    name = "staged.example.net"
    body = {"hostname": name, "upstream_type": "manual", "upstream_addr": echo_app, "require_auth": True}
    made = httpx.post(f"{node.server.url}/api/proxy/routes", json=body, headers=operators)
    assert made.status_code == 201, made.text
    node.enter(visitor)
    query = {"to": node.at(name), "state": "0" * 64}
    headers = {"Accept": "*/*", "X-CSRF-Token": visitor.csrf_token}
    assert visitor.get(f"{node.url}/api/proxy/handover", params=query).status_code == 400
    assert visitor.post(f"{node.url}/api/proxy/handover", json=query, headers=headers).status_code == 400
    assert node.api.post("/api/proxy/apply").json()["errors"] == []
    page = visitor.get(node.at(name), follow_redirects=False).headers["Location"]
    with browser() as stranger:
        shown = stranger.get(page)
    assert "data-ask" in shown.text, "for an operator's name the page goes on by a click alone"
    with browser() as stranger:
        assert "data-ask" not in stranger.get(node.at(GIT)).text
    code = visitor.onward(visitor.get(page, follow_redirects=False))
    assert code is not None and code.startswith(node.at(name))
    assert node.api.delete(f"/api/proxy/routes/{made.json()['id']}").status_code == 204
    assert visitor.get(code, follow_redirects=False).headers.get("Set-Cookie") is not None, "deleted, and still served"
    code = visitor.onward(visitor.get(page, follow_redirects=False))
    assert node.api.post("/api/proxy/apply").json()["errors"] == []
    gone = visitor.get(f"{node.url}/api/proxy/session?{code.partition('?')[2]}", headers=_as_caddy_tells(visitor, name))
    assert "cloudos_route" not in gone.headers.get("Set-Cookie", "")


def _as_caddy_tells(visitor, name):
    state = cookies_of(visitor, name)["cloudos_state"]
    return {"Host": name, "X-Forwarded-Host": name, "Cookie": f"cloudos_state={state}"}


def test_the_cookie_of_one_name_is_nothing_at_another(node, visitor):
    node.enter(visitor)
    assert visitor.get(node.at(GIT)).status_code == 200
    cookie = cookies_of(visitor, GIT)["cloudos_route"]
    with browser() as thief:
        sent = {"Cookie": f"cloudos_route={cookie}"}
        assert thief.get(node.at(GIT), headers=sent, follow_redirects=False).status_code == 200
        assert thief.get(node.at(WIKI), headers=sent, follow_redirects=False).status_code == 302
