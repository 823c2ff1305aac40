"""From a measurement to people: over a restart of the host, and over its death."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from components.environments import serving
from components.mail_server import text_of


async def test_a_rule_fires_in_slack_and_in_a_mail_over_a_restart_and_resolves(alerts, slack, mail_server):
    node = await alerts()
    chat = await node.channel(name="Ops Team Slack")
    mail = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "n@b.org", "to": ["ops@b.org"]}
    post = await node.channel(name="Ops by mail", type="email", config=mail)
    rule = await node.rule(name="High CPU Usage", duration="5m", channel_ids=[chat["id"], post["id"]])
    await node.measure(20)
    await node.measure_for(200, 97)
    assert await node.state(rule) == "pending"
    await node.restart(down=45)
    assert await node.state(rule) == "pending"
    assert slack.received == [] and mail_server.mails == []
    await node.measure_for(70, 98)
    assert await node.state(rule) == "firing"
    await node.until(lambda: slack.received and mail_server.mails)
    await node.measure(12)
    await node.until(lambda: len(slack.received) == 2 and len(mail_server.mails) == 2)
    assert "Warning: High CPU Usage on attic" in slack.texts()[0]
    assert "system.cpu.usage_percent is 98 %, greater than 90 % for 5m." in slack.texts()[0]
    assert "Resolved: High CPU Usage on attic" in slack.texts()[1]
    fired, resolved = mail_server.mails
    assert fired["Subject"] == "Warning: High CPU Usage on attic" and fired["To"] == "ops@b.org"
    assert "greater than 90 % for 5m." in text_of(fired)
    assert resolved["Subject"] == "Resolved: High CPU Usage on attic"
    assert "system.cpu.usage_percent is 12 % again." in text_of(resolved)
    (alert,) = await node.ask("GET", "/history")

    async def all_are_sent():
        notifications = (await node.ask("GET", f"/{alert['id']}"))["notifications"]
        kinds = [(n["kind"], n["state"]) for n in notifications]
        return kinds == [("fired", "sent"), ("fired", "sent"), ("resolved", "sent"), ("resolved", "sent")]

    await node.until(all_are_sent)  # a mail is there before it is written down that it was taken


def test_a_host_that_is_killed_while_it_sends_loses_nothing(sink, tmp_path):
    begun = threading.Event()

    def answer(request):
        begun.set()
        time.sleep(1)
        return 200, b"ok"

    sink.answer = answer
    code = "from cloudos_host.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--data-dir", tmp_path / "data"]
    with pytest.raises(AssertionError), serving(command) as server:  # it does not end in peace
        server.sign_in()
        channel = _wait(lambda: server.request("POST", "/api/alerts/channels", _hook(sink)), 201)
        rule = {**_LOGINS, "channel_id": channel["id"]}
        assert server.request("POST", "/api/alerts/rules", rule)[0] == 201
        wrong = {"username": "root", "password": "wrong horse battery"}
        assert server.request("POST", "/api/auth/login", wrong)[0] == 401
        assert begun.wait(20)
        server.process.kill()
        server.process.wait()
    assert server.process.returncode == -9
    sink.accept()
    already = len(sink.received)
    with serving(command) as server:
        server.sign_in()
        alerts = _wait(lambda: server.request("GET", "/api/alerts"), 200)
        _wait_for(lambda: len(sink.received) > already)
        assert [alert["rule"] for alert in alerts] == ["Somebody guesses"]
    assert "Somebody guesses" in sink.received[-1].json["title"]


_LOGINS = {
    "name": "Somebody guesses",
    "metric": "event.user.login_failed",
    "condition": "greater_than",
    "threshold": 0,
    "severity": "critical",
}


def _hook(sink):
    return {"name": "hook", "type": "webhook", "config": {"url": f"{sink.url}/hook"}}


def _wait(ask, status):
    """Ask until the plugin answers: it may still be starting."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found, body = ask()
        if found == status:
            return body
        assert found == 503, body
        time.sleep(0.1)
    raise AssertionError("the plugin did not start")


def _wait_for(true):
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)
