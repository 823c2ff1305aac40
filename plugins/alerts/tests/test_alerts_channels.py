"""Channels by the API: typed settings, secrets, tests that really send, and what uses them."""

from __future__ import annotations

import asyncio
import json

import sqlalchemy as sa
from cloudos_alerts.channel_types import TYPES
from cloudos_alerts.notify.outbox import NotificationOutbox
from cloudos_sdk import Principal, Role
from cloudos_sdk.testing.fakes import FakeAuthenticator
from cloudos_sdk.testing.fixtures import Client

SECRET = "xxxx1234secret"
GOOD = {
    "slack": {"webhook_url": f"https://hooks.slack.com/services/T00/B00/{SECRET}"},
    "discord": {"webhook_url": f"https://discord.com/api/webhooks/123456/{SECRET}"},
    "email": {
        "host": "mail.example.org",
        "username": "node",
        "password": SECRET,
        "from": "node@example.org",
        "to": ["ops@example.org"],
    },
    "telegram": {"bot_token": f"123456:{SECRET}", "chat_id": "-100123"},
    "ntfy": {"server": "http://ntfy.home.arpa:8080", "topic": "alerts", "token": SECRET},
    "gotify": {"server": "https://push.example.org/gotify", "token": SECRET},
    "pushover": {"user_key": SECRET, "api_token": SECRET, "devices": ["phone"]},
    "matrix": {"homeserver": "https://matrix.example.org", "room": "#ops:example.org", "access_token": SECRET},
    "teams": {
        "webhook_url": "https://prod-1.westeurope.logic.azure.com:443/workflows/abc/triggers/manual/paths/invoke"
        f"?api-version=2016-06-01&sig={SECRET}"
    },
    "webhook": {"url": f"https://example.org/hook/{SECRET}", "headers": {"Authorization": f"Bearer {SECRET}"}},
    "apprise": {"url": f"pover://user@{SECRET}"},
}
BAD = [
    ("slack", {}, "config.webhook_url"),
    ("slack", {"webhook_url": "http://hooks.slack.com/services/T00/B00/x"}, "config.webhook_url"),
    ("slack", {"webhook_url": "https://evil.example.org/services/T00/B00/x"}, "config.webhook_url"),
    ("slack", {**GOOD["slack"], "channel": "#x"}, "config.channel"),
    ("discord", {"webhook_url": "https://discord.com/api/webhooks/x"}, "config.webhook_url"),
    ("email", {**GOOD["email"], "to": []}, "config.to"),
    ("email", {**GOOD["email"], "to": ["nobody"]}, "config.to.0"),
    ("email", {**GOOD["email"], "port": 0}, "config.port"),
    ("email", {**GOOD["email"], "security": "ssl3"}, "config.security"),
    ("email", {k: v for k, v in GOOD["email"].items() if k != "password"}, "config.password"),
    ("email", {k: v for k, v in GOOD["email"].items() if k != "from"}, "config.from"),
    ("telegram", {"bot_token": "x", "chat_id": "1"}, "config.bot_token"),
    ("ntfy", {"topic": "a b"}, "config.topic"),
    ("ntfy", {"topic": "a", "server": "ftp://x"}, "config.server"),
    ("gotify", {"server": "push.example.org", "token": "x"}, "config.server"),
    ("pushover", {"user_key": "?", "api_token": "x"}, "config.user_key"),
    ("matrix", {**GOOD["matrix"], "room": "ops"}, "config.room"),
    ("teams", {"webhook_url": "https://example.org/workflows"}, "config.webhook_url"),
    ("webhook", {"url": "javascript:alert(1)"}, "config.url"),
    ("webhook", {"url": "http://x", "headers": {"A\nB": "c"}}, None),
    ("webhook", {"url": "http://x", "headers": {"A": "c\r\nX: y"}}, "config.headers.A"),
    ("webhook", {"url": "http://[::1"}, "config.url"),
    ("apprise", {"url": "nothing://here"}, "config.url"),
    ("apprise", {"url": "words"}, "config.url"),
    ("apprise", {"url": "slack://T00/B00/xxxx/?Template=/etc/passwd"}, "config.url"),
]


async def test_the_channel_of_the_reference_is_made_as_it_is_printed(alerts):
    node = await alerts()
    body = {
        "name": "Ops Team Slack",
        "type": "slack",
        "config": {"webhook_url": "https://hooks.slack.com/services/T00/B00/xxxx"},
    }
    made = await node.ask("POST", "/channels", 201, json=body)
    assert made["id"].startswith("ch_")
    assert (made["name"], made["type"], made["status"], made["rules"]) == ("Ops Team Slack", "slack", "untried", [])
    assert made["config"] == {"webhook_url": "https://hooks.slack.com/***"}
    assert await node.ask("GET", "/channels") == [made]


async def test_secrets_are_encrypted_at_rest_and_never_shown(alerts):
    node = await alerts()
    for type in TYPES:
        made = await node.channel(type=type, config=GOOD[type])
        assert set(made["config"]) >= set(GOOD[type])
        for shown in (made, await node.ask("GET", f"/channels/{made['id']}"), await node.ask("GET", "/channels")):
            assert SECRET not in json.dumps(shown)
    rows = await node.running.ctx("alerts").db.read(lambda s: s.execute(sa.text("SELECT * FROM alerts_channel")).all())
    assert SECRET not in str(rows)
    assert all(SECRET not in str(event) for event in await node.running.event_log())


async def test_a_setting_that_does_not_fit_is_named_and_its_secrets_are_not(alerts):
    node = await alerts()
    for type, config, path in BAD:
        problem = await node.ask("POST", "/channels", 400, json={"name": "x", "type": type, "config": config})
        assert problem["error"] == "invalid_request"
        paths = [field["path"] for field in problem["fields"]]
        assert path in paths if path is not None else paths, (type, config, problem)
        assert SECRET not in json.dumps(problem)
    assert await node.ask("GET", "/channels") == []


async def test_an_unknown_type_is_refused(alerts):
    problem = await (await alerts()).ask("POST", "/channels", 400, json={"name": "x", "type": "pigeon", "config": {}})
    assert problem["fields"][0]["path"] == "type"


async def test_a_secret_given_back_as_it_was_shown_stays(alerts, sink):
    node = await alerts()
    headers = {"X-Token": SECRET, "X-Other": "o"}
    made = await node.channel(type="webhook", config={"url": f"{sink.url}/{SECRET}", "headers": headers})
    shown = {**made["config"], "method": "PUT"}
    shown["headers"] = {**shown["headers"], "X-Other": "changed"}
    await node.ask("PUT", f"/channels/{made['id']}", json={"name": "Renamed", "config": shown})
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert trial["delivered"], trial
    (request,) = sink.received
    assert (request.method, request.path) == ("PUT", f"/{SECRET}")
    assert (request.headers["X-Token"], request.headers["X-Other"]) == (SECRET, "changed")


ELSEWHERE = [
    ("email", {"host": "127.0.0.1"}, "config.password"),
    ("email", {"port": 2525}, "config.password"),
    ("email", {"security": "none"}, "config.password"),
    ("ntfy", {"server": "http://127.0.0.1:9"}, "config.t"),
    ("ntfy", {"server": None}, "config.t"),
    ("gotify", {"server": "http://127.0.0.1:9"}, "config.token"),
    ("gotify", {"server": "http://push.example.org/gotify"}, "config.token"),
    ("matrix", {"homeserver": "http://127.0.0.1:9"}, "config.access_token"),
    ("webhook", {"url": "http://127.0.0.1:9/"}, "config.headers.Authorization"),
]


async def test_a_secret_given_back_stays_where_it_was_given_for(alerts):
    node = await alerts()
    for type in TYPES:
        made = await node.channel(type=type, config=GOOD[type])
        await node.ask("PUT", f"/channels/{made['id']}", json={"config": made["config"]})
        assert (await node.ask("GET", f"/channels/{made['id']}"))["config"] == made["config"]
        for other, change, path in ELSEWHERE:
            if other == type:
                changed = {k: v for k, v in {**made["config"], **change}.items() if v is not None}
                problem = await node.ask("PUT", f"/channels/{made['id']}", 400, json={"config": changed})
                assert problem["error"] == "invalid_request" and "another place" in problem["message"]
                assert problem["fields"][0]["path"].startswith(path), (type, change, problem)
        assert (await node.ask("GET", f"/channels/{made['id']}"))["config"] == made["config"]


async def test_a_secret_given_again_may_go_elsewhere(alerts, sink):
    node = await alerts()
    made = await node.channel(type="gotify", config=GOOD["gotify"])
    changed = {"server": sink.url, "token": "another"}
    await node.ask("PUT", f"/channels/{made['id']}", json={"config": changed})
    assert (await node.ask("POST", f"/channels/{made['id']}/test", json={}))["delivered"]
    assert sink.received[0].headers["X-Gotify-Key"] == "another"


async def test_what_stands_for_a_secret_is_none(alerts):
    node = await alerts()
    for type, config, path in [
        ("gotify", {"server": "https://push.example.org", "token": "***"}, "config.token"),
        ("gotify", {"server": "https://***@push.example.org", "token": "x"}, "config.server"),
        ("webhook", {"url": "https://example.org", "headers": {"X-A": "***"}}, "config.headers.X-A"),
        ("webhook", {"url": "https://example.org/***"}, "config.url"),
    ]:
        problem = await node.ask("POST", "/channels", 400, json={"name": "x", "type": type, "config": config})
        assert problem["fields"][0]["path"] == path


async def test_a_login_in_a_url_is_refused_where_it_has_members_and_hidden_where_not(alerts):
    node = await alerts()
    server = f"https://me:{SECRET}@push.example.org/x?token={SECRET}"
    for type, member in (("ntfy", "server"), ("matrix", "homeserver")):
        body = {"name": "x", "type": type, "config": {**GOOD[type], member: server}}
        problem = await node.ask("POST", "/channels", 400, json=body)
        assert problem["fields"][0]["path"] == f"config.{member}" and SECRET not in json.dumps(problem)
    made = await node.channel(type="gotify", config={"server": server, "token": SECRET})
    assert made["config"] == {"server": "https://***@push.example.org/x?***", "token": "***"}
    await node.ask("PUT", f"/channels/{made['id']}", json={"config": made["config"]})
    assert node.running.ctx("alerts").use(NotificationOutbox).config(await stored(node, made)).server == server
    at = await node.channel(type="webhook", config={"url": f"https://example.org/hook@{SECRET}/x"})
    assert at["config"]["url"] == "https://example.org/***"


async def test_a_login_that_was_stored_earlier_and_a_topic_are_hidden(alerts):
    node = await alerts()
    made = await node.channel(type="ntfy", config=GOOD["ntfy"])
    assert made["config"] == {"server": "http://ntfy.home.arpa:8080", "topic": "***", "token": "***"}
    ctx = node.running.ctx("alerts")
    sealed = ctx.secrets.encrypt(
        json.dumps({"server": f"https://me:{SECRET}@ntfy.example.com", "topic": "night-watch"})
    )
    await ctx.db.write(lambda s: s.execute(sa.text("UPDATE alerts_channel SET config = :c"), {"c": sealed}))
    shown = await node.ask("GET", f"/channels/{made['id']}")
    assert shown["config"] == {"server": "https://***@ntfy.example.com", "topic": "***"}


async def stored(node, channel):
    statement = sa.text("SELECT * FROM alerts_channel WHERE id = :id")
    return await node.running.ctx("alerts").db.read(lambda s: s.execute(statement, {"id": channel["id"]}).one())


async def test_a_test_sends_for_real_and_tells_what_the_far_side_said(alerts, slack):
    node = await alerts()
    made = await node.channel()
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert (trial["delivered"], trial["status"], trial["response"], trial["reason"]) == (True, 200, "ok", None)
    assert len(slack.received) == 1 and "Ops works." in slack.texts()[0]
    assert (await node.ask("GET", f"/channels/{made['id']}"))["status"] == "ok"
    slack.refuse(403, b"invalid_token")
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert (trial["delivered"], trial["status"], trial["response"]) == (False, 403, "invalid_token")
    shown = await node.ask("GET", f"/channels/{made['id']}")
    assert "invalid_token" in shown["last_error"] and shown["status"] == "failing"
    assert (await node.events()).count("alert.channel_tested") == 2


async def test_what_the_far_side_said_is_shown_to_people_and_not_to_keys(alerts, sink, monkeypatch):
    node = await alerts()
    key, person = Client(node.running.host.app, "key"), FakeAuthenticator.recognise
    holder = Principal("api_key", "key_1", "script", Role.ADMIN, "usr_admin")
    known = {"Bearer key": holder}
    monkeypatch.setattr(FakeAuthenticator, "recognise", lambda self, said: known.get(said) or person(self, said))
    sink.accept(b"the inside of another service")
    made = await node.channel(type="webhook", config={"url": sink.url})
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={}, client=key)
    assert (trial["delivered"], trial["status"], trial["response"]) == (True, 200, None)
    assert "inside" in (await node.ask("POST", f"/channels/{made['id']}/test", json={}))["response"]
    sink.refuse(500, b"the inside of another service")
    await node.ask("POST", f"/channels/{made['id']}/test", json={}, client=key)
    shown = await node.ask("GET", f"/channels/{made['id']}", client=key)
    assert "500" in shown["last_error"] and "inside" not in shown["last_error"]
    await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert "inside" in (await node.ask("GET", f"/channels/{made['id']}"))["last_error"]
    shown = await node.ask("GET", f"/channels/{made['id']}", client=key)
    assert "500" in shown["last_error"] and "inside" not in shown["last_error"]
    assert "inside" not in str(await node.ask("GET", "/channels", client=key))
    assert "inside" not in str(await node.running.event_log())


async def test_no_message_goes_to_link_local_and_metadata_addresses(alerts):
    node = await alerts()
    for type, config in [
        ("webhook", {"url": "http://169.254.169.254/latest/meta-data"}),
        ("webhook", {"url": "http://[::ffff:169.254.169.254]/"}),
        ("webhook", {"url": "http://2852039166/"}),
        ("ntfy", {"server": "http://100.100.100.200", "topic": "node"}),
        ("email", {"host": "169.254.169.254", "security": "none", "from": "a@b.org", "to": ["c@d.org"]}),
        ("apprise", {"url": "json://168.63.129.16"}),
        ("apprise", {"url": "rsyslog://169.254.169.254"}),
    ]:
        made = await node.channel(type=type, config=config)
        async with asyncio.timeout(4):
            trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
        assert not trial["delivered"], config
        if not config.get("url", "").startswith("rsyslog"):  # of which Apprise tells no reason
            assert "no message goes to" in trial["reason"], (config, trial)


async def test_an_url_of_apprise_that_reads_instead_of_telling_is_refused(alerts, sink):
    node = await alerts()
    for scheme in ("json", "xml", "form"):
        for method in ("GET", "get", "DELETE", "%47ET", "HEAD", "PATCH"):
            config = {"url": f"{scheme}://{sink.host}/?Method={method}"}
            problem = await node.ask("POST", "/channels", 400, json={"name": "x", "type": "apprise", "config": config})
            assert problem["fields"][0]["path"] == "config.url" and "POST or PUT" in problem["message"]
        await node.channel(type="apprise", config={"url": f"{scheme}://{sink.host}/?method=put"})
    assert sink.received == []


async def test_a_channel_by_which_nothing_ever_arrived_is_not_ok(alerts, slack):
    node = await alerts()
    made = await node.channel()
    slack.refuse(403, b"invalid_token")
    await node.ask("POST", f"/channels/{made['id']}/test", json={})
    shown = await node.ask("GET", f"/channels/{made['id']}")
    assert shown["status"] == "untried" and "invalid_token" in shown["last_error"]
    slack.accept()
    await node.ask("POST", f"/channels/{made['id']}/test", json={})
    shown = await node.ask("GET", f"/channels/{made['id']}")
    assert (shown["status"], shown["last_error"]) == ("ok", None)


async def test_a_test_by_mail_tells_the_reply_of_the_server(alerts, mail_server):
    node = await alerts()
    config = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "a@b.org", "to": ["c@d.org"]}
    made = await node.channel(type="email", config=config)
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert (trial["delivered"], trial["status"], trial["response"]) == (True, 250, "OK: taken as number 1")
    mail_server.refusal = "550 no such person"
    trial = await node.ask("POST", f"/channels/{made['id']}/test", json={})
    assert (trial["delivered"], trial["status"], trial["response"]) == (False, 550, "no such person")


async def test_a_channel_in_use_names_its_rules_and_can_be_detached(alerts):
    node = await alerts()
    made = await node.channel()
    rule = await node.rule(channel_id=made["id"])
    assert (await node.ask("GET", f"/channels/{made['id']}"))["rules"] == [rule["id"]]
    problem = await node.ask("DELETE", f"/channels/{made['id']}", 409)
    assert problem["error"] == "channel_in_use"
    assert problem["rules"] == [{"id": rule["id"], "name": "Busy"}]
    await node.ask("DELETE", f"/channels/{made['id']}?detach=true", 204)
    assert (await node.ask("GET", f"/rules/{rule['id']}"))["channel_ids"] == []
    assert await node.ask("GET", "/channels") == []


async def test_the_first_channel_is_given_to_the_nodes_own_rules(alerts, slack):
    node = await alerts(default_rules=True)
    rule = await node.rule()
    first, second = await node.channel(), await node.channel(name="Second")
    own = [r for r in await node.ask("GET", "/rules") if r["id"] != rule["id"]]
    assert {tuple(r["channel_ids"]) for r in own} == {(first["id"],)}
    assert (await node.ask("GET", f"/rules/{rule['id']}"))["channel_ids"] == []
    assert sorted(first["rules"]) == sorted(r["id"] for r in own) and second["rules"] == []
