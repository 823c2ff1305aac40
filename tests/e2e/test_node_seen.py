"""A node that is seen: a rule on CPU fires under real load and resolves after it, over a restart in between.

It is told in three ways: to Slack (the channel's own type; in the process that sends its class is pointed at a sink),
by mail, and by a signed webhook. Nothing else may keep the machine busy meanwhile, or the alert does not resolve.
"""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from components.environments import serving
from components.mail_server import text_of
from standardwebhooks.webhooks import Webhook

AT_THE_SINK = """
import sys
if "cloudos_alerts.notify.sender_process" in sys.orig_argv:
    from apprise.plugins.slack import NotifySlack
    NotifySlack.webhook_url = {url!r}
"""
STRESS = "import time\nend = time.monotonic() + 180\nwhile time.monotonic() < end: pass"
THRESHOLD = 97


@pytest.fixture
def serve(tmp_path, sink):
    """Serve a node on one data folder, again and again."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AT_THE_SINK.format(url=f"{sink.url}/services"))
    command = [sys.executable, "-m", "cloudos_host", "serve", "--port", "0", "--data-dir", tmp_path / "data"]
    environ = {"CLOUDOS_WEBHOOKS__ALLOW_PRIVATE": "true", "CLOUDOS_HOST__DISABLED": '["apps"]'}

    @contextlib.contextmanager
    def serve():
        with serving(command, PYTHONPATH=str(folder), **environ) as server:
            server.sign_in()
            yield server

    return serve


@contextlib.contextmanager
def stress():
    """Keep every core busy, at the lowest priority."""
    command = ["nice", "-n", "19", sys.executable, "-c", STRESS]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ask(server, method, path, status, body=None):
    got, answer = server.request(method, path, body)
    assert got == status, f"{method} {path}: {got} {answer}"
    return answer


def wait_for(what, condition, seconds):
    end = time.monotonic() + seconds
    while not (met := condition()):
        busy = f"; the machine's load is {os.getloadavg()[0]:.1f}"
        assert time.monotonic() < end, f"{what} did not come about in {seconds} s{busy}"
        time.sleep(0.2)
    return met


def prepare(server, mail_server, hook_url):
    """Make the channels, the rule of the reference and a webhook."""
    slack = {"webhook_url": "https://hooks.slack.com/services/T00/B00/xxxx"}
    chat = ask(
        server, "POST", "/api/alerts/channels", 201, {"name": "Ops Team Slack", "type": "slack", "config": slack}
    )
    mail = {"host": mail_server.host, "port": mail_server.port, "security": "none"}
    mail |= {"from": "node@example.org", "to": ["ops@example.org"]}
    post = ask(server, "POST", "/api/alerts/channels", 201, {"name": "Ops mail", "type": "email", "config": mail})
    rule = {
        "name": "High CPU Usage",
        "metric": "system.cpu.usage_percent",
        "condition": "greater_than",
        "threshold": THRESHOLD,
        "duration": "10s",
        "channel_id": chat["id"],
        "channel_ids": [post["id"]],
        "severity": "warning",
    }
    rule = ask(server, "POST", "/api/alerts/rules", 201, rule)
    wanted = {"url": hook_url, "events": ["alert.fired", "alert.resolved"], "active": True}
    return rule, ask(server, "POST", "/api/webhooks", 201, wanted)


def state(server, rule):
    return ask(server, "GET", f"/api/alerts/rules/{rule['id']}", 200)["state"]


def deliveries(server, hook):
    return [(d["type"], d["state"]) for d in ask(server, "GET", f"/api/webhooks/{hook['id']}/deliveries", 200)]


def test_load_is_told_to_slack_by_mail_and_by_webhook_and_so_is_its_end(serve, sink, mail_server, webhook_sink):
    def told():
        return len(sink.received), len(mail_server.mails), len(webhook_sink.received)

    with serve() as server:
        rule, hook = prepare(server, mail_server, webhook_sink.url("/hook"))
        wait_for("a calm node", lambda: state(server, rule) == "ok", 120)
        assert told() == (0, 0, 0)
        with contextlib.ExitStack() as load:
            load.enter_context(stress())
            wait_for("the alert", lambda: state(server, rule) == "firing", 60)
            wait_for("the word of it", lambda: told() == (1, 1, 1), 20)
    # the load is over, the host is down: it finds out when it is back
    with serve() as server:
        wait_for("the end of the alert", lambda: state(server, rule) == "ok", 120)
        wait_for("the word of it", lambda: told() == (2, 2, 2), 20)
        [alert] = [a for a in ask(server, "GET", "/api/alerts/history", 200) if a["rule"] == rule["name"]]
        assert (alert["state"], alert["resolution"], alert["severity"]) == ("resolved", "recovered", "warning")
        # the sink has a delivery before its answer is written down
        both = [("alert.resolved", "delivered"), ("alert.fired", "delivered")]
        wait_for("the record of the deliveries", lambda: deliveries(server, hook) == both, 20)
    assert [request.path for request in sink.received] == ["/services/T00/B00/xxxx"] * 2
    for request in sink.received:
        assert "High CPU Usage" in json.dumps(request.json), "Slack's JSON"
    for mail in mail_server.mails:
        assert mail["to"] == "ops@example.org" and "High CPU Usage" in f"{mail['subject']} {text_of(mail)}"
    webhook = Webhook(hook["secret"])
    bodies = [webhook.verify(request.body, request.headers) for request in webhook_sink.received]
    assert [body["type"] for body in bodies] == ["alert.fired", "alert.resolved"]
    assert bodies[0]["data"]["metric"] == "system.cpu.usage_percent" and bodies[0]["data"]["value"] > THRESHOLD
