"""A served host behind its real Caddy, with routes that ask for a sign-in."""

from __future__ import annotations

import contextlib
import json
import sys
import time

import httpx
from components.environments import WHO, serving
from components.ports import free_ports

from cloudos_host.plugins.discovery import discover

GIT, WIKI, OPEN = "git.cloud.test", "wiki.cloud.test", "open.cloud.test"


class Node:
    """A served host: `url` is its own address; `at` gives that of a name behind its door."""

    def __init__(self, server, scheme, port):
        self.server, self.scheme, self.port = server, scheme, port
        self.url = server.url.replace("127.0.0.1", "localhost")
        self.admin = None
        self.api = httpx.Client(base_url=server.url, timeout=15)
        self.api.post("/api/auth/setup", json=WHO)
        self.api.headers["Authorization"] = f"Bearer {self.sign_in()['access_token']}"

    def at(self, name, path="/"):
        return f"{self.scheme}://{name}:{self.port}{path}"

    def sign_in(self, **who):
        answer = httpx.post(f"{self.server.url}/api/auth/login", json={**WHO, **who})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pid(self):
        """Return Caddy's process, once the node knows it: what was served before is brought up to date at the start."""
        end = time.monotonic() + 10
        while (pid := self.api.get("/api/proxy/status").json()["pid"]) is None:
            assert time.monotonic() < end, "Caddy does not run"
            time.sleep(0.1)
        return pid

    def user(self, username, role):
        body = {"username": username, "password": "another password", "role": role}
        assert self.api.post("/api/users", json=body).status_code == 201
        return {"username": username, "password": "another password"}

    def key(self, *scopes):
        return self.api.post("/api/keys", json={"name": "root", "scopes": scopes}).json()

    def enter(self, client, **who):
        """Sign a browser in on the node's page, as the page's script does; the admin with the session that is there."""
        if not who and self.admin is not None:
            cookies, client.csrf_token = self.admin
            client.cookies.update(cookies)
            return
        answer = client.post(f"{self.url}/api/auth/login", json={**WHO, **who, "cookie": True})
        assert answer.status_code == 200, answer.text
        client.csrf_token = answer.json()["csrf_token"]
        if not who:
            self.admin = httpx.Cookies(client.cookies), client.csrf_token


@contextlib.contextmanager
def run(folder, app, scheme, **more):
    http, https = free_ports(2)
    names = [found.id for found in discover() if found.error is None and found.id not in ("auth", "proxy")]
    environ = {
        "CLOUDOS_HOST__DISABLED": json.dumps(names),
        "CLOUDOS_PROXY__BIND_ADDRESS": "127.0.0.1",
        "CLOUDOS_PROXY__HTTP_PORT": str(http),
        "CLOUDOS_PROXY__HTTPS_PORT": str(https),
        "CLOUDOS_PROXY__ROUTE_CERTIFICATES": "internal" if scheme == "https" else "none",
        **more,
    }
    main = [sys.executable, "-c", "from cloudos_host.cli.main import main; main()"]
    with serving([*main, "serve", "--port", "0", "--data-dir", folder], **environ) as server:
        node = Node(server, scheme, https if scheme == "https" else http)
        for name, options in ((GIT, {}), (WIKI, {"allowed_roles": ["admin"]}), (OPEN, None)):
            body = {"hostname": name, "upstream_type": "manual", "upstream_addr": app}
            body |= {"require_auth": False} if options is None else {"require_auth": True, **options}
            made = node.api.post("/api/proxy/routes", json=body)
            assert made.status_code == 201, made.text
        applied = node.api.post("/api/proxy/apply")
        assert applied.json()["errors"] == [] and applied.json()["applied"] >= 3, applied.text
        yield node


def wait_for(ask):
    """Ask until a certificate is there to ask with."""
    for _ in range(50):
        with contextlib.suppress(httpx.ConnectError):
            return ask()
        time.sleep(0.1)
    return ask()
