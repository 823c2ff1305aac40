"""The shell of the web interface in a real browser: its doors, its keyboard, and a node that does not answer."""

import json
import re
import time

import pyotp
import pytest
from components.environments import WHO, serving
from components.ports import free_port
from e2e.test_first_app import CLOUDOS
from playwright.sync_api import expect


def command(folder, port=None):
    return [CLOUDOS, "serve", "--port", str(port or free_port()), "--data-dir", folder]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with serving(command(tmp_path_factory.mktemp("shell") / "data"), CLOUDOS_HOST__DISABLED='["proxy"]') as server:
        server.sign_in()
        yield server


def enter(page, path="/", who=WHO):
    page.goto(page.node + path)
    page.get_by_label("User name").fill(who["username"])
    page.get_by_label("Password", exact=True).fill(who["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("banner").wait_for()
    return page


@pytest.fixture
def admin(node, person):
    return lambda path="/", **options: enter(person(node.url, **options), path)


def test_who_comes_from_another_machine_needs_the_code_of_the_node(tmp_path, person):
    with serving(command(tmp_path / "data"), CLOUDOS_HOST__DISABLED='["proxy"]') as server:
        page = person(server.url.replace("127.0.0.1", "node.test"))
        page.watch.expect("status of 403", "ERR_CONNECTION_REFUSED")
        page.goto(page.node)
        page.get_by_label("User name").fill("eve")
        page.get_by_label("Password", exact=True).fill("a long password")
        page.get_by_label("Password, once more").fill("a long passwort")
        page.get_by_role("button", name="Create the account").click()
        expect(page.get_by_label("One-time code")).to_be_focused()
        expect(page.get_by_text("The two passwords are not the same.")).to_be_visible()
        page.get_by_label("Password, once more").fill("a long password")
        page.get_by_label("One-time code").fill("AAAA-BBBB-CCCC")
        page.keyboard.press("Enter")
        expect(page.get_by_text("This is not the code of this node.")).to_be_visible()
        code = (tmp_path / "data" / "auth" / "setup-code").read_text().strip()
        page.get_by_label("One-time code").fill(code.lower().replace("-", " "))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=re.compile("eve$"))).to_be_visible()
        assert not (tmp_path / "data" / "auth" / "setup-code").exists()


def test_a_second_factor_and_a_lock_out_are_told_in_words(node, person):
    who = {"username": "careful", "password": "another password"}
    node.request("POST", "/api/users", {**who, "role": "viewer"})
    page = enter(person(node.url), "/account", who)
    page.get_by_role("button", name="Set up").click()
    secret = page.get_by_label("Secret", exact=True).input_value()
    totp = pyotp.TOTP(secret)
    page.get_by_label("Code of your second factor").fill(totp.now())
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("main").get_by_text("The second factor is on.")).to_be_visible()

    page = person(node.url)
    page.watch.expect("status of 401", "status of 429")
    page.goto(node.url)
    page.get_by_label("User name").fill("careful")
    page.get_by_label("Password", exact=True).fill("wrong password")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The user name or the password is wrong.")).to_be_visible()
    page.get_by_label("Password", exact=True).fill(who["password"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    page.get_by_label("Code of your second factor").fill(totp.at(time.time() + 30))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("careful$"))).to_be_visible()

    page = person(node.url)
    page.watch.expect("status of 401", "status of 429")
    page.goto(node.url)
    page.get_by_label("User name").fill("nobody")
    for _ in range(6):
        page.get_by_label("Password", exact=True).fill("wrong password")
        with page.expect_response("**/api/auth/login"):
            page.keyboard.press("Enter")
    expect(page.get_by_text("signing in is locked for a while")).to_be_visible()
    expect(page.get_by_text(re.compile(r"You can try again (in \d+ seconds|now)"))).to_be_visible()


def test_everything_is_reached_by_the_keyboard_alone(admin):
    page = admin()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search")).to_be_focused()
    page.keyboard.type("imm")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Immich")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Immich", level=1)).to_be_focused()
    assert page.title() == "App store · Cloud OS"
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Immich", level=1)).to_be_focused()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))
        outlined = page.evaluate("""() => { const at = document.activeElement, style = getComputedStyle(at);
            return at === document.body || style.outlineStyle !== 'none'
            || getComputedStyle(at.parentElement).outlineStyle !== 'none'
            || getComputedStyle(at.nextElementSibling ?? at).outlineStyle !== 'none'; }""")
        assert outlined, f"the focus on {seen[-1]!r} is not seen"
        if seen[-1].startswith("Install an app"):
            break
    assert any(text.startswith("Install an app") for text in seen), seen


def test_a_widget_is_moved_by_arrows_and_two_devices_lose_nothing(admin):
    page, other = admin(), admin()
    page.get_by_role("button", name="Arrange").click()
    handle = page.get_by_role("button", name="Move Processor", exact=True)
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status").filter(has_text="Processor is in column 2")).to_be_attached()
    expect(page.get_by_role("button", name="Move Processor", exact=True)).to_be_focused()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.get_by_role("status").filter(has_text="2 high")).to_be_attached()
    expect(other.get_by_role("region", name="Processor")).to_have_css("grid-column-start", "2")

    other.get_by_role("button", name="Arrange").click()
    other.watch.expect("status of 409")
    other.route(
        re.compile("profile/dashboard"),
        lambda route: route.continue_() if route.request.method == "PUT" else route.abort(),
    )
    page.get_by_role("button", name="Remove Storage", exact=True).click()
    expect(page.get_by_role("region", name="Storage")).to_have_count(0)
    other.wait_for_timeout(500)
    other.watch.expect("ERR_FAILED")
    other.get_by_role("button", name="Move Memory", exact=True).focus()
    other.keyboard.press("ArrowDown")
    expect(other.get_by_text("Another device changed this page meanwhile")).to_be_visible()
    expect(page.get_by_role("region", name="Storage")).to_have_count(0)
    page.get_by_role("button", name="Default layout").click()
    expect(page.get_by_role("region", name="Storage")).to_be_visible()


def test_a_widget_is_moved_by_hand(admin):
    page = admin()
    page.get_by_role("button", name="Arrange").click()
    box = page.get_by_role("button", name="Move Processor", exact=True).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 15, steps=5)
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok) as saved:
        page.mouse.up()
    [cpu] = [each for each in json.loads(saved.value.request.post_data)["layout"] if each["id"] == "cpu"]
    assert cpu["x"] > 0
    page.get_by_role("button", name="Default layout").click()
    expect(page.get_by_role("region", name="Processor")).to_have_css("grid-column-start", "1")


def test_nine_tabs_share_one_stream_and_are_quiet(node, admin):
    first = admin()
    asked = []
    first.context.on("request", lambda request: asked.append(request.url))
    expect(first.get_by_role("region", name="Processor")).to_contain_text("%", timeout=25_000)
    tabs = [first.context.new_page() for _ in range(8)]
    for tab in tabs:
        began = time.monotonic()
        tab.goto(node.url)
        expect(tab.get_by_role("region", name="Processor")).to_contain_text("%", timeout=3_000)
        assert time.monotonic() - began < 5
    node.request(
        "POST", "/api/users", {"username": f"u{time.time_ns()}", "password": "a long password", "role": "viewer"}
    )
    for tab in [first, *tabs]:
        expect(tab.get_by_role("button", name=re.compile(r"Events, \d+ new")).get_by_text("1")).to_be_attached()
    assert sum(url.endswith("/api/events") for url in asked) <= 1
    asked.clear()
    first.wait_for_timeout(8000)
    assert len([url for url in asked if "/api/" in url and "stream" not in url]) <= 1, asked


def test_a_short_token_that_ran_out_is_renewed_once_for_all(node, admin):
    page = admin("/people")
    renewed = []
    page.context.on("request", lambda request: renewed.append(request.url) if "refresh" in request.url else None)
    page.watch.expect("status of 401")
    page.context.clear_cookies(name="cloudos_access")
    page.get_by_role("link", name="Plugins").click()
    expect(page.get_by_role("heading", name="Sign-in", level=2)).to_be_visible()
    assert len(renewed) <= 1
    page.context.clear_cookies(name="cloudos_access")
    page.goto(node.url)
    expect(page.get_by_role("region", name="Storage")).to_contain_text("GB")


def test_a_session_that_ends_under_an_open_page_is_asked_for_there(node, admin):
    page = admin("/people")
    page.watch.expect("status of 401", "status of 403", "status of 400")
    own = node.token
    node.sign_in()
    for session in node.request("GET", "/api/auth/sessions")[1]:
        if not session["current"]:
            node.request("DELETE", f"/api/auth/sessions/{session['id']}")
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible(timeout=20_000)
    page.get_by_label("Password", exact=True).fill(WHO["password"])
    page.get_by_role("dialog").get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("link", name="Plugins").click()
    expect(page.get_by_role("heading", name="Sign-in", level=2)).to_be_visible()
    assert own


def test_a_node_that_restarts_is_waited_for(tmp_path, person):
    port, environ = free_port(), {"CLOUDOS_HOST__DISABLED": '["proxy"]'}
    with serving(command(tmp_path / "data", port), **environ) as server:
        server.sign_in()
        page = enter(person(server.url))
        page.watch.expect("ERR_", "Failed to load resource")
        expect(page.get_by_role("region", name="Storage")).to_contain_text("GB")
    expect(page.get_by_text("The node does not answer. This page goes on by itself")).to_be_visible(timeout=20_000)
    page.get_by_role("link", name="People").click()
    expect(page.get_by_text("No connection")).to_be_visible()
    with serving(command(tmp_path / "data", port), **environ) as server:
        expect(page.get_by_text("This page goes on by itself")).to_have_count(0, timeout=30_000)
        expect(page.get_by_role("rowheader", name=re.compile("root"))).to_be_visible()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, {"error": "too_many_requests", "message": "Too many requests; wait a little."}, "Too many requests"),
        (503, {"error": "plugin_unavailable", "message": "Plugin X does not run now."}, "Not available now"),
        (403, {"error": "forbidden", "message": "You lack the permission."}, "You may not do this"),
        (500, {"error": "internal_error", "message": "Something went wrong in the server."}, "That did not work"),
    ],
)
def test_what_the_node_refuses_is_a_sentence_and_is_tried_again(admin, status, body, said):
    page = admin()
    page.watch.expect(f"status of {status}")
    answers = iter([True])

    def answer(route):
        if next(answers, False):
            route.fulfill(status=status, json=body, headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/api/plugins", answer)
    page.get_by_role("link", name="Plugins").click()
    expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.get_by_text(body["message"])).to_be_visible()
    expect(page.get_by_role("heading", name="Sign-in", level=2)).to_be_visible(timeout=5000)


def test_a_402_waits_in_its_dialog_until_the_plan_has_it(admin):
    page = admin("/people")
    page.watch.expect("status of 402", "status of 404")
    body = {
        "error": "upgrade_required",
        "feature": "more_people",
        "current_plan": "community",
        "required_plan": "pro",
        "message": "More people require Orbit Pro.",
        "upgrade_url": "/",
    }
    page.route(
        "**/api/users",
        lambda route: route.fulfill(status=402, json=body) if route.request.method == "POST" else route.continue_(),
    )
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("User name").fill("grace")
    page.get_by_label("Password", exact=True).fill("a long password")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Your plan does not have this")
    expect(dialog).to_contain_text("More people require Orbit Pro.")
    dialog.get_by_role("button", name="Upgrade").click()
    expect(dialog).to_contain_text("This edition has no billing.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("User name")).to_have_value("grace")


def test_an_app_on_another_port_gets_nothing_that_opens_the_node(node, admin):
    import http.server
    import threading

    got = []

    class App(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"an app")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = admin()
    url = f"http://127.0.0.1:{server.server_port}/api/auth/refresh"
    page.watch.allow(url)
    page.goto(url)
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"
    server.shutdown()
    server.server_close()
    [cookies] = got[:1]
    assert "cloudos" in cookies, "a browser sends a host's cookies to every port"
    import urllib.error
    import urllib.request

    for path, data in (("/api/auth/me", None), ("/api/ui/contributions", None), ("/api/auth/refresh", b"{}")):
        headers = {"Cookie": cookies, "Content-Type": "application/json"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(node.url + path, data, headers))
        assert refused.value.code == 403


def test_the_language_and_the_theme_are_kept(node, person):
    page = enter(person(node.url, color_scheme="light"))
    page.get_by_role("button", name="Account of root").click()
    page.get_by_role("radio", name="Dark").check()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("link", name="Übersicht").or_(page.get_by_role("link", name="Start"))).to_be_visible()
    page.reload()
    assert page.evaluate("[getComputedStyle(document.documentElement).colorScheme, document.documentElement.lang]") == [
        "dark",
        "de",
    ]
