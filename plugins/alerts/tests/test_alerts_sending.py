"""Sending: each type of channel reaches a server that looks like its service, and what that says comes back."""

from __future__ import annotations

import json

import pytest
from apprise import URLBase
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.pushover import NotifyPushover
from apprise.plugins.telegram import NotifyTelegram
from cloudos_alerts.channel_types import TYPES
from cloudos_alerts.notify.apprise_adapter import Message, UnfitConfig, check, send
from components.mail_server import text_of

HELLO = Message("Critical: Disk on node", "The disk / is 95 % full & <burning>.", "critical")
SLACK = {"webhook_url": "https://hooks.slack.com/services/T00/B00/xxxx"}


def config(type, **members):
    return TYPES[type].model_validate(members)


def test_slack_gets_what_it_takes(slack):
    delivery = send(config("slack", **SLACK), HELLO)
    assert (delivery.delivered, delivery.status, delivery.response) == (True, 200, "ok")
    (request,) = slack.received
    assert request.path == "/services/T00/B00/xxxx"
    assert "Disk on node" in json.dumps(request.json) and "95 % full" in json.dumps(request.json)
    assert "apprise" not in request.body.decode().lower()


def test_what_slack_says_is_told_and_the_secret_is_not(slack):
    slack.refuse(404, b"no_service for /services/T00/B00/xxxx")
    delivery = send(config("slack", **SLACK), HELLO)
    assert (delivery.delivered, delivery.status) == (False, 404)
    assert delivery.response == "no_service for ***"
    assert "404" in delivery.reason and "xxxx" not in delivery.reason


def test_discord_gets_what_it_takes(sink, monkeypatch):
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{sink.url}/api/webhooks")
    url = "https://discord.com/api/webhooks/1234567/abc-DEF_9"
    assert send(config("discord", webhook_url=url), HELLO).delivered
    assert sink.received[0].path.startswith("/api/webhooks/1234567/abc-DEF_9")
    assert "95 % full" in sink.texts()[0]


def test_telegram_gets_what_it_takes(sink, monkeypatch):
    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{sink.url}/bot")
    sink.accept(b'{"ok": true, "result": {}}')
    assert send(config("telegram", bot_token="123456:abcdef_GHI", chat_id="-10042"), HELLO).delivered
    assert sink.received[0].path == "/bot123456:abcdef_GHI/sendMessage"
    assert sink.received[0].json["chat_id"] == -10042


def test_pushover_gets_what_it_takes(sink, monkeypatch):
    monkeypatch.setattr(NotifyPushover, "notify_url", f"{sink.url}/1/messages.json")
    sink.accept(b'{"status": 1}')
    assert send(config("pushover", user_key="u" * 30, api_token="a" * 30), HELLO).delivered
    assert sink.received[0].path == "/1/messages.json"


@pytest.mark.parametrize(
    ("members", "authorization"),
    [
        ({}, None),
        ({"token": "tk_abc"}, "Bearer tk_abc"),
        ({"username": "me", "password": "p%40:x"}, "Basic bWU6cCU0MDp4"),
    ],
)
def test_ntfy_gets_what_it_takes(sink, members, authorization):
    sink.accept(b'{"id": "x"}')
    delivery = send(config("ntfy", server=sink.url, topic="node-alerts", **members), HELLO)
    assert delivery.delivered, delivery
    (request,) = sink.received
    assert request.headers.get("Authorization") == authorization
    assert "node-alerts" in request.path or request.json["topic"] == "node-alerts"


def test_gotify_gets_what_it_takes_below_a_path(sink):
    assert send(config("gotify", server=f"{sink.url}/push", token="Aabc123"), HELLO).delivered
    assert sink.received[0].path == "/push/message"
    assert sink.received[0].headers["X-Gotify-Key"] == "Aabc123"


def test_matrix_gets_what_it_takes(sink):
    def answer(request):
        if "/join/" in request.path:
            return 200, b'{"room_id": "!abc:localhost"}'
        if request.path.endswith("/whoami"):
            return 200, b'{"user_id": "@node:localhost"}'
        return 200, b'{"event_id": "$1", "joined_rooms": []}'

    sink.answer = answer
    delivery = send(config("matrix", homeserver=sink.url, room="!abc:localhost", access_token="syt_abc"), HELLO)
    assert delivery.delivered, delivery
    said = [request for request in sink.received if "/send/m.room.message/" in request.path]
    assert len(said) == 1 and "95 % full" in said[0].body.decode()
    assert said[0].headers["Authorization"] == "Bearer syt_abc"


def test_a_webhook_gets_json_with_headers_and_query(sink):
    url = f"{sink.url}/hook%20a?key=s%26cret"
    delivery = send(config("webhook", url=url, method="PUT", headers={"X-Token": "t0ps3cret"}), HELLO)
    assert delivery.delivered
    (request,) = sink.received
    assert (request.method, request.path) == ("PUT", "/hook%20a?key=s%26cret")
    assert request.headers["X-Token"] == "t0ps3cret"
    assert request.json["title"] == HELLO.title and request.json["message"] == HELLO.body
    assert request.json["type"] == "failure"


def test_any_url_of_apprise_will_do(sink):
    assert send(config("apprise", url=f"form://{sink.host}/take"), HELLO).delivered
    assert sink.received[0].path == "/take"


def test_a_mail_arrives_and_the_reply_of_the_server_comes_back(mail_server):
    mail = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "node@example.org"}
    delivery = send(config("email", **mail, to=["a@example.org", "b@example.org"]), HELLO)
    assert delivery.delivered, delivery
    assert (delivery.status, delivery.response) == (250, "OK: taken as number 2")
    assert sorted(mail["To"] for mail in mail_server.mails) == ["a@example.org", "b@example.org"]
    assert mail_server.mails[0]["Subject"] == HELLO.title
    assert HELLO.body in text_of(mail_server.mails[0])


def test_a_name_puts_no_header_into_a_mail(mail_server):
    mail = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "node@example.org"}
    title = "Critical: Disk\r\nBcc: eve@example.org\r\n\r\nforged\x1b[2J on node"
    assert send(config("email", **mail, to=["a@example.org"]), Message(title, "a\x07b\nc", "critical")).delivered
    (mail,) = mail_server.mails
    assert mail["Subject"] == "Critical: Disk Bcc: eve@example.org forged[2J on node"
    assert mail["Bcc"] is None
    assert "ab\nc" in text_of(mail).replace("\r\n", "\n")


def test_a_mail_that_is_refused_says_why(mail_server):
    mail_server.refusal = "550 there is no such person"
    mail = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "node@example.org"}
    delivery = send(config("email", **mail, to=["a@example.org"]), HELLO)
    assert (delivery.delivered, delivery.status, delivery.response) == (False, 550, "there is no such person")


def test_nobody_at_home_is_a_reason_not_an_exception(sink):
    delivery = send(config("webhook", url="http://127.0.0.1:9/secretpath"), HELLO)
    assert (delivery.delivered, delivery.status) == (False, None)
    assert "refused" in delivery.reason and "secretpath" not in delivery.reason
    mail = {"host": "127.0.0.1", "port": 9, "security": "none", "from": "node@example.org", "to": ["a@example.org"]}
    assert "refused" in send(config("email", **mail), HELLO).reason


def test_a_redirect_is_not_followed(sink, other_sink):
    sink.refuse(307)
    delivery = send(config("webhook", url=f"{sink.url}/a"), HELLO)
    assert (delivery.delivered, delivery.status) == (False, 307)
    assert other_sink.received == []


def test_an_answer_without_end_is_cut(sink):
    sink.accept(b"x" * 5_000_000)
    delivery = send(config("webhook", url=f"{sink.url}/a"), HELLO)
    assert delivery.delivered and delivery.response == "x" * 500


def test_teams_gets_a_card(sink, monkeypatch):
    seen = []
    monkeypatch.setattr(URLBase, "verify_certificate", False)
    url = "https://prod-1.logic.azure.com:443/workflows/0a1b2c/triggers/manual/paths/invoke?api-version=2016-06-01&sig=s-G_1"
    service = config("teams", webhook_url=url)
    check(service)
    monkeypatch.setattr("requests.post", lambda url, **kwargs: seen.append((url, kwargs)) or _Answer())
    assert send(service, HELLO).delivered
    ((target, kwargs),) = seen
    assert target == "https://prod-1.logic.azure.com:443/workflows/0a1b2c/triggers/manual/paths/invoke"
    assert kwargs["params"]["sig"] == "s-G_1"


class _Answer:
    status_code = 202
    content = b""


@pytest.mark.parametrize("url", ["nothing://at.all", "slack://", "json://", "mailto://x"])
def test_what_apprise_cannot_use_is_found_before_it_is_needed(url):
    with pytest.raises(UnfitConfig):
        check(config("apprise", url=url if url.split("://")[1] else url + "?"))
