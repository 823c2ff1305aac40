"""Every endpoint lets in those whom its mark names, and nobody else: by role, by scope, by token, by owner."""

import asyncio
import base64
import hashlib
import hmac
import json
import re

import pytest
from cloudos_sdk import Role
from cloudos_sdk.capabilities import Credentials, PermissionCatalogue
from cloudos_sdk.identity import caller
from contract.promises import WHO, all_plugins

from cloudos_host.http.open_responses import OpenResponse

PEOPLE = {
    "operator": {"username": "operator", "password": "an operator's password", "role": "operator"},
    "viewer": {"username": "viewer", "password": "a viewer's password", "role": "viewer"},
    "other": {"username": "other", "password": "another's password", "role": "operator"},
}

MCP_KEY = {
    "name": "x",
    "client_type": "claude_desktop",
    "namespace": "work",
    "scopes": ["read_memory", "write_memory"],
    "expires_in_days": 90,
}


@pytest.fixture
async def node(cloudos):
    host, head = await all_plugins(cloudos)
    host.heads = {"admin": head}
    for name, person in PEOPLE.items():
        assert (await host.anonymous.post("/api/users", json=person, headers=head)).status_code == 201
        answer = await host.anonymous.post("/api/auth/login", json={k: person[k] for k in ("username", "password")})
        host.heads[name] = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    return host


def marked(host):
    """Yield every route of the node: methods, a concrete path, its mark."""
    for rule in host.host.app.url_map.iter_rules():
        endpoint = host.host.gate.endpoints.get(rule.endpoint)
        if endpoint is not None and not rule.websocket:
            path = re.sub(r"<[^>]+>", "x_thereisnone", re.sub(r"<int:[^>]+>", "1", rule.rule))
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                yield method, path, endpoint.policy


async def status_of(host, method, path, head=None):
    answer = await host.anonymous.request(method, path, headers=head or {}, json={} if method != "GET" else None)
    return answer.status_code


async def test_nobody_who_is_not_signed_in_comes_past_a_mark(node):
    seen = 0
    for method, path, policy in marked(node):
        if policy.access != "public":
            assert await status_of(node, method, path) == 401, f"{method} {path}"
            seen += 1
    assert seen > 100


async def test_no_role_comes_past_a_permission_of_a_higher_one(node):
    declared = node.ctx("auth").use(PermissionCatalogue).permissions()
    seen = 0
    for method, path, policy in marked(node):
        if policy.access == "permission":
            for role in ("viewer", "operator"):
                if not Role(role).includes(declared[policy.permission].role):
                    assert await status_of(node, method, path, node.heads[role]) == 403, f"{role}: {method} {path}"
                    seen += 1
    assert seen > 60


async def test_an_admins_key_does_what_its_scopes_say_and_nothing_else(node):
    body = {"name": "narrow", "scopes": ["system:read"]}
    key = await (await node.anonymous.post("/api/keys", json=body, headers=node.heads["admin"])).get_json()
    head = {"Authorization": f"Bearer {key['key']}"}
    assert await status_of(node, "GET", "/api/system/info", head) == 200
    for method, path, policy in marked(node):
        if policy.access == "in_person" or (policy.access == "permission" and policy.permission != "system:read"):
            assert await status_of(node, method, path, head) == 403, f"{method} {path}"


def encoded(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(header, claims, key, hashed=hashlib.sha256):
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), hashed))}"


async def test_no_forged_token_lets_anybody_in(node):
    pair = await (await node.anonymous.post("/api/auth/login", json=WHO)).get_json()
    token = pair["access_token"]
    head, body, mac = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = node.heads["viewer"]["Authorization"].removeprefix("Bearer ").split(".")
    none = {"alg": "none", "typ": "JWT"}
    forged = [
        pair["refresh_token"],
        f"{encoded(none)}.{body}.",
        f"{encoded(none)}.{body}.{mac}",
        f"{encoded({'alg': 'None'})}.{body}.",
        f"{encoded({'alg': 'nOnE'})}.{body}.{encoded(b'')}",
        *(signed({"alg": alg}, claims, key) for alg in ("HS256", "HS512", "RS256") for key in (b"", b"\0", b"secret")),
        signed({"alg": "HS512"}, claims, b"", hashlib.sha512),
        signed({"alg": "HS256", "kid": "../../../../dev/null"}, claims, b""),
        signed({"alg": "HS256", "kid": "x' UNION SELECT '"}, claims, b""),
        signed({"alg": "HS256", "jwk": {"kty": "oct", "k": encoded(b"mine")}}, claims, b"mine"),
        signed({"alg": "HS256", "jku": "http://127.0.0.1:1/keys"}, claims, b"mine"),
        signed({"alg": "HS256", "crit": ["b64"], "b64": False}, claims, b""),
        f"{head}.{encoded({**claims, 'sub': 'usr_other'})}.{mac}",
        f"{head}.{encoded({**claims, 'exp': claims['exp'] + 86400})}.{mac}",
        f"{head}.{encoded({**claims, 'typ': 'refresh'})}.{mac}",
        f"{head}.{body}.{other[2]}",
        f"{other[0]}.{body}.{other[2]}",
        f"{head}.{body}",
        f"{head}.{body}.{mac}.{mac}",
        f"{head}.{body}.{mac[:-2]}",
        f".{body}.{mac}",
        f"{head}..{mac}",
        token.lower(),
        "qzr_" + token,
        "quaz_" + "A" * 29,
    ]
    for each in forged:
        for way in ({"Authorization": f"Bearer {each}"}, {"Cookie": f"cloudos_access={each}", "X-CSRF-Token": "x"}):
            assert await status_of(node, "GET", "/api/users", way) in (401, 403), each
    assert await status_of(node, "GET", "/api/users", {"Authorization": f"Bearer {token}"}) == 200


async def test_what_belongs_to_a_user_is_nobody_elses(node):
    mine, other = node.heads["operator"], node.heads["other"]

    async def made(path, body):
        answer = await node.anonymous.post(path, json=body, headers=mine)
        assert answer.status_code in (200, 201), await answer.get_data()
        return (await answer.get_json())["id"]

    note = await made("/api/notes", {"title": "Mine", "content": "a secret of mine"})
    scopes = ["read_memory"]
    key = {"name": "mine", "client_type": "other", "namespace": "work", "scopes": scopes, "expires_in_days": 9}
    mcp = await made("/api/mcp/keys", key)
    listed = await (await node.anonymous.get("/api/auth/sessions", headers=mine)).get_json()
    paths = [
        ("GET", f"/api/notes/{note}"),
        ("PUT", f"/api/notes/{note}"),
        ("DELETE", f"/api/notes/{note}"),
        ("GET", f"/api/notes/{note}/versions"),
        ("POST", f"/api/notes/{note}/restore"),
        ("DELETE", f"/api/mcp/keys/{mcp}"),
        ("POST", f"/api/mcp/keys/{mcp}/rotate"),
        ("DELETE", f"/api/auth/sessions/{listed[0]['id']}"),
    ]
    bodies = {"PUT": {"title": "Theirs"}, "POST": {}}
    for method, path in paths:
        answer = await node.anonymous.request(method, path, json=bodies.get(method), headers=other)
        assert answer.status_code in (404, 405), f"{method} {path}: {answer.status_code}"
    for path in ("/api/notes", "/api/mcp/keys", "/api/notes?q=secret", "/api/mcp/sessions", "/api/operations"):
        answer = await node.anonymous.get(path, headers=other)
        text = await answer.get_data(as_text=True)
        assert answer.status_code == 200 and "mine" not in text.lower(), f"{path}: {text[:200]}"
    kept = await (await node.anonymous.get(f"/api/notes/{note}", headers=mine)).get_json()
    assert kept["title"] == "Mine"


async def test_no_secret_of_the_node_is_in_any_answer(node):
    folder = node.host.settings.data_dir
    secrets = [path.read_bytes().strip() for path in folder.rglob("*") if path.name in ("host.key", "signing.key")]
    assert len(secrets) == 2
    signing = node.ctx("auth").secrets.decrypt((folder / "auth" / "signing.key").read_text())
    said = b""
    for method, path, policy in marked(node):
        if method == "GET" and path not in ("/api/events", "/api/system/metrics/stream") and policy.access != "bearer":
            answer = await node.anonymous.get(path, headers=node.heads["admin"])
            said += await answer.get_data()
    assert len(said) > 10_000
    for secret in (*secrets, signing.encode()):
        assert secret not in said
    assert b"PRIVATE KEY" not in said


class Halves:
    """A request of which the first half is sent: by ASGI, so that the rest waits as long as it takes."""

    def __init__(self, app, method, path, head):
        text = b'{"title": "x", "content": "x"}'
        self.came, self.sent, self.rest = asyncio.Queue(), [], text[10:]
        self.came.put_nowait({"type": "http.request", "body": text[:10], "more_body": True})
        headers = {**head, "Content-Type": "application/json", "Content-Length": str(len(text)), "Host": "localhost"}
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1"}
        scope |= {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
        scope |= {"scheme": "http", "client": ("127.0.0.1", 1), "server": ("node", 80), "extensions": {}}
        scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.task = asyncio.ensure_future(app(scope, self.came.get, self._send))

    async def _send(self, message):
        self.sent.append(message)

    async def finish(self, *messages):
        for message in messages or ({"type": "http.request", "body": self.rest, "more_body": False},):
            self.came.put_nowait(message)
        await asyncio.wait_for(self.task, 10)
        return self.sent[0]["status"] if self.sent else None


AT_ONCE = ("/api/auth/logout", "/api/proxy/apply")
"""Waits for no body: it ends the session itself, or goes on for as long as Caddy takes."""


async def test_a_right_that_ends_while_the_body_is_on_its_way_is_a_right_no_more(node):
    second = {"username": "second", "password": "a second admin's", "role": "admin"}
    made = await node.anonymous.post("/api/users", json=second, headers=node.heads["admin"])
    answer = await node.anonymous.post("/api/auth/login", json={k: second[k] for k in ("username", "password")})
    head = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    app, waiting = node.host.app, {}
    for method, path, policy in marked(node):
        if policy.access != "public" and method in ("POST", "PUT", "PATCH") and path not in AT_ONCE:
            waiting[method, path] = Halves(app, method, path, head)
    answer = await node.anonymous.post("/api/mcp/keys", json=MCP_KEY, headers=head)
    mcp = await answer.get_json()
    assert answer.status_code == 201, mcp
    mount = Halves(app, "POST", "/mcp", {"Authorization": f"Bearer {mcp['raw']}", "Accept": "application/json"})
    await asyncio.sleep(0.3)
    open_still = {name: half for name, half in waiting.items() if not half.task.done()}
    assert len(open_still) > 25
    user = f"/api/users/{(await made.get_json())['id']}"
    assert (await node.anonymous.delete(user, headers=node.heads["admin"])).status_code == 204
    told = {name: await half.finish() for name, half in open_still.items()}
    assert {name: status for name, status in told.items() if status != 401} == {}
    assert await mount.finish() == 401


async def test_a_change_is_done_to_its_end_though_its_client_is_gone(node, monkeypatch):
    """What is stored and what memory knows would differ, and what is judged would not be counted."""
    db, held, go = node.host.db, asyncio.Event(), asyncio.Event()
    write = type(db).write

    async def slow(self, fn):
        if caller().principal is not None:
            held.set()
            await go.wait()
        return await write(self, fn)

    monkeypatch.setattr(type(db), "write", slow)
    half = Halves(node.host.app, "POST", "/api/notes", node.heads["operator"])
    half.came.put_nowait({"type": "http.request", "body": half.rest, "more_body": False})
    await asyncio.wait_for(held.wait(), 5)
    half.came.put_nowait({"type": "http.disconnect"})
    await asyncio.sleep(0.1)
    assert not half.task.done(), "the handler is not cut off"
    go.set()
    await asyncio.wait_for(half.task, 5)
    assert half.sent == []
    listed = await (await node.anonymous.get("/api/notes", headers=node.heads["operator"])).get_json()
    assert [note["title"] for note in listed if note["title"] == "x"] == ["x"]


async def test_a_body_that_breaks_off_changes_nothing(node):
    half = Halves(node.host.app, "POST", "/api/notes", node.heads["operator"])
    await asyncio.sleep(0.1)
    await half.finish({"type": "http.disconnect"})
    assert half.sent == []


async def test_a_body_that_takes_longer_than_its_token_holds_is_taken_while_the_session_holds(node):
    half = Halves(node.host.app, "POST", "/api/notes", node.heads["operator"])
    await asyncio.sleep(0.1)
    await node.clock.advance(16 * 60)
    assert await half.finish() == 201
    assert (await node.anonymous.get("/api/auth/me", headers=node.heads["operator"])).status_code == 401


async def test_a_download_outlives_its_token_and_a_stream_does_not(node):
    gate, head = node.host.gate, node.heads["operator"]["Authorization"]
    endpoint = next(found for name, found in gate.endpoints.items() if name.startswith("notes:") and "export" in name)
    credentials = Credentials("GET", head, {}, None, "127.0.0.1")
    principal = await gate._principal(credentials)
    download, stream = (OpenResponse(endpoint, principal, credentials, drained) for drained in (True, False))
    assert await gate.readmits(download) and await gate.readmits(stream)
    await node.clock.advance(16 * 60)
    assert await gate.readmits(download) and not await gate.readmits(stream)
    user = f"/api/users/{principal.user_id}"
    answer = await node.anonymous.post("/api/auth/login", json=WHO)
    admin = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    assert (await node.anonymous.delete(user, headers=admin)).status_code == 204
    assert not await gate.readmits(download)
