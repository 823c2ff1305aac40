"""A thousand events, a receiver that fails every third time, and a host that is killed twice: nothing is lost."""

import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from components.environments import clean_environ
from standardwebhooks.webhooks import Webhook

EVENTS = 1000
WHO = {"username": "root", "password": "correct horse battery"}
COMMAND = [Path(sys.executable).with_name("cloudos"), "serve", "--port", "0", "--data-dir"]


class KillableNode:
    """`cloudos serve` as a process that is killed and started again on the same data."""

    def __init__(self, folder):
        self.data = folder / "data"
        self._log = folder / "log"
        self._process = None
        self.client = None

    def start(self):
        """Start it and sign in."""
        environ = clean_environ(
            CLOUDOS_WEBHOOKS__ALLOW_PRIVATE="true",
            CLOUDOS_WEBHOOKS__RETRY_SECONDS="[0.2, 0.4, 0.8, 1, 1, 1, 1, 1, 1, 1]",
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*COMMAND, self.data], env=environ, stdout=log, stderr=log)
        client = httpx.Client(base_url=self._url(), timeout=20, transport=httpx.HTTPTransport(retries=5))
        client.post("/api/auth/setup", json=WHO)
        login = client.post("/api/auth/login", json=WHO)
        client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        self.client = client

    def kill(self):
        """End it as `kill -9` does, in the middle of everything."""
        self._process.kill()
        self._process.wait()

    def _url(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if found := re.search(r"serving on (http://\S+)", self._log.read_text()):
                return found[1]
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError(self._log.read_text())

    def event_ids(self, type):
        """Return the ids of the events of a type, as the database has them."""
        with sqlite3.connect(self.data / "cloudos.db") as connection:
            return [
                id for (id,) in connection.execute("SELECT id FROM host_event WHERE type = ? ORDER BY seq", (type,))
            ]


@pytest.fixture
def node(tmp_path):
    node = KillableNode(tmp_path)
    node.start()
    yield node
    node.kill()


def make_events(node, stop):
    """Make API keys, each of which is an event, until there are enough; a host that is away is waited for."""
    made = 0
    while made < EVENTS and not stop.is_set():
        try:
            answer = node.client.post("/api/keys", json={"name": f"key {made}", "scopes": ["apps:read"]})
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        made += answer.status_code == 201


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_each_of_1000_events_arrives_and_verifies_though_the_host_is_killed_twice(node, webhook_sink):
    webhook_sink.mode["/hook"] = "third"
    wanted = {"url": webhook_sink.url("/hook"), "events": ["api_key.created"]}
    hook = node.client.post("/api/webhooks", json=wanted).json()
    stop = threading.Event()
    maker = threading.Thread(target=make_events, args=(node, stop))
    maker.start()
    try:
        for at in (200, 600):
            wait_for(lambda at=at: len(webhook_sink.received) >= at)
            node.kill()
            node.start()
        maker.join(120)
        assert not maker.is_alive()
    finally:
        stop.set()
        maker.join()
    events = node.event_ids("api_key.created")
    assert len(events) >= EVENTS
    wait_for(lambda: set(webhook_sink.taken("/hook")) >= set(events))
    assert set(webhook_sink.taken("/hook")) == set(events), "and nothing else does"
    webhook = Webhook(hook["secret"])
    for request in webhook_sink.received:
        body = webhook.verify(request.body, request.headers)
        assert body["id"] == request.headers["webhook-id"] and body["type"] == "api_key.created"
    assert len(webhook_sink.received) > len(events) * 4 / 3, "every third one was refused"
    wait_for(lambda: node.client.get(f"/api/webhooks/{hook['id']}").json()["waiting"] == 0)
    twice = len(webhook_sink.taken("/hook")) - len(events)
    assert twice < 100, f"{twice} were taken more than once"
    print(f"{len(events)} events, {len(webhook_sink.received)} requests, {twice} taken more than once")
