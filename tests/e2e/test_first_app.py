"""The first evening with a node, over the wire: a second factor, a key, an app, a crash, the audit log."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyotp
import pytest

CLOUDOS = Path(sys.executable).with_name("cloudos")
PASSWORD = "correct horse battery"
TEMPLATE = """
name: web
display_name: Web page
description: A page that says hello
category: websites
version: "1.0"
icon: web.svg
web_port: web
services:
  - name: web
    image: {image}
    environment: {{GREETING: "${{config.greeting}}"}}
    ports: [{{name: web, container: 8000}}]
    volumes: [{{name: data, path: /data}}]
    memory_mb: 64
config:
  - {{name: greeting, type: string, required: true, max_length: 40}}
"""


@pytest.fixture
def node(tmp_path, docker_engine):
    image = docker_engine.image("web:1.0")
    if docker_engine.names("images", "-q", image):
        docker_engine.cli("rmi", "-f", image)  # so that the install has to pull
    folder = tmp_path / "data" / "apps" / "templates"
    folder.mkdir(parents=True)
    (folder / "web.yaml").write_text(TEMPLATE.format(image=image))
    environment = {
        **os.environ,
        "CLOUDOS_APPS__DOCKER_HOST": docker_engine.host,
        "CLOUDOS_AUTH__BCRYPT_COST": "6",
    }
    environment.pop("CLOUDOS_HOST__DATABASE_URL", None)
    process = subprocess.Popen(
        [CLOUDOS, "serve", "--port", "0", "--data-dir", tmp_path / "data"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    address = next(line.split()[-1] for line in process.stderr if "serving on" in line)
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client, tmp_path / "data", environment
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


class Listener(threading.Thread):
    """Collects the events of /api/events as they come."""

    def __init__(self, address, headers):
        super().__init__(daemon=True)
        self._address, self._headers = address, headers
        self.seen = []

    def run(self):
        try:
            with httpx.stream("GET", f"{self._address}/api/events", headers=self._headers, timeout=None) as stream:
                kind = ""
                for line in stream.iter_lines():
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        self.seen.append((time.monotonic(), kind, json.loads(line.removeprefix("data: "))))
        except httpx.HTTPError:
            pass

    def wait(self, kind, seconds=40):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for at, type_, data in self.seen:
                if type_ == kind:
                    return at, data
            time.sleep(0.02)
        raise AssertionError(f"no {kind} among {[k for _, k, _ in self.seen]}")


def test_from_setup_to_a_verified_audit_log(node, docker_engine):
    client, data, environment = node

    def ask(method, path, status, headers=None, **kwargs):
        answer = client.request(method, path, headers=headers, **kwargs)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    account = {"username": "admin", "password": PASSWORD}
    assert ask("POST", "/api/auth/setup", 201, json=account)["user"]["username"] == "admin"
    assert ask("POST", "/api/auth/setup", 409, json=account)["error"] == "already_set_up"
    tokens = ask("POST", "/api/auth/login", 200, json=account)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

    factor = ask("POST", "/api/auth/totp/enable", 200, bearer)
    assert base64.b64decode(factor["qr_png_base64"]).startswith(b"\x89PNG")
    totp = pyotp.TOTP(factor["secret"])
    ask("POST", "/api/auth/totp/verify", 200, bearer, json={"code": totp.at(datetime.now(UTC))})
    begun = ask("POST", "/api/auth/login", 200, json=account)
    assert begun["totp_required"] is True
    code = factor["backup_codes"][0]
    tokens = ask("POST", "/api/auth/totp/verify", 200, json={"temp_token": begun["temp_token"], "code": code})
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

    wanted = {"name": "evening", "scopes": ["apps:write", "operations:read", "audit:read"]}
    key = ask("POST", "/api/keys", 201, bearer, json=wanted)["key"]
    by_key = {"Authorization": f"Bearer {key}"}

    assert "web" in [template["name"] for template in ask("GET", "/api/templates", 200, by_key)]
    wrong = ask("POST", "/api/apps", 400, by_key, json={"template": "web", "name": "hello", "config": {"greting": "x"}})
    assert {field["path"] for field in wrong["fields"]} == {"config.greting", "config.greeting"}

    listener = Listener(str(client.base_url), by_key)
    listener.start()
    time.sleep(0.3)
    body = {"template": "web", "name": "hello", "config": {"greeting": "good evening"}}
    app = ask("POST", "/api/apps", 201, by_key, json=body)
    assert app["status"] == "installing"
    assert ask("POST", "/api/apps", 409, by_key, json=body)["error"] == "app_name_taken"
    listener.wait("app.installed")
    steps = [d["data"] for _, kind, d in listener.seen if kind == "operation.progressed"]
    assert any("layers" in step["detail"] for step in steps), "the pull shows its layers"
    assert [s["progress"] for s in steps] == sorted(s["progress"] for s in steps)
    app = ask("GET", f"/api/apps/{app['id']}", 200, by_key)
    assert app["status"] == "running"
    assert "good evening" in httpx.get(f"http://{app['addr']}/").text

    logs = ask("GET", f"/api/apps/{app['id']}/logs?lines=100&follow=false", 200, by_key)
    assert "serving" in [line["message"] for line in logs["lines"]]
    stats = ask("GET", f"/api/apps/{app['id']}/stats", 200, by_key)
    assert stats["memory_limit_mb"] == 64

    [container] = docker_engine.names("ps", "-q", "--filter", f"label=cloudos.app={app['id']}")
    docker_engine.cli("kill", container)
    killed = time.monotonic()
    at, crashed = listener.wait("app.crashed")
    assert at - killed < 2
    assert crashed["data"]["exit_code"] == 137
    assert ask("GET", f"/api/apps/{app['id']}", 200, by_key)["status"] == "crashed"

    ask("DELETE", f"/api/apps/{app['id']}?purge=true", 204, by_key)
    assert docker_engine.names("ps", "-aq", "--filter", f"label=cloudos.app={app['id']}") == []
    assert docker_engine.names("volume", "ls", "-q", "--filter", f"label=cloudos.app={app['id']}") == []

    time.sleep(0.5)
    actions = [entry["action"] for entry in ask("GET", "/api/audit/logs?limit=100", 200, bearer)]
    for action in ("user.setup_completed", "user.totp_enabled", "api_key.created", "app.installed", "app.crashed"):
        assert action in actions
    newest = next(action for action in actions if action.startswith("app."))  # an alert may tell of the crash meanwhile
    assert newest == "app.uninstalled"
    assert ask("GET", "/api/audit/verify", 200, bearer)["valid"] is True
    verified = subprocess.run(
        [CLOUDOS, "audit", "--data-dir", data, "verify"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert verified.returncode == 0, verified.stderr
