"""MCP keys: made, listed, rotated, revoked; checked by bcrypt once and from memory ever after."""

from __future__ import annotations

import asyncio
import re
import threading
import time

import pytest
from cloudos_memory.keys.authenticator import KeyAuthenticator
from cloudos_memory.keys.hasher import Hasher
from cloudos_memory.models import Key
from cloudos_sdk import Unauthenticated
from cloudos_sdk.capabilities import BearerAuthenticator
from cloudos_sdk.testing.contracts import check_bearer_authenticator
from mcp_node import eventually, rpc
from sqlmodel import select

BODY = {
    "name": "Claude on my laptop",
    "client_type": "claude_desktop",
    "namespace": "work",
    "scopes": ["read_memory", "write_memory"],
    "expires_in_days": 90,
}
PRINTED = ["id", "name", "client_type", "namespace", "scopes", "key_prefix", "expires_at", "raw"]


@pytest.fixture
async def host(cloudos):
    """Run a node without a port."""
    settings = {"memory": {"keys": {"bcrypt_cost": 4, "max_per_user": 3}, "embedding": {"backend": "off"}}}
    return await cloudos("notes", "memory", settings=settings)


async def create(host, who=None, **changes):
    answer = await (who or host.admin).post("/api/mcp/keys", json={**BODY, **changes})
    return answer.status_code, await answer.get_json()


def later(host, days):
    """Let days pass without waking those who sleep a few seconds at a time."""
    host.clock._passed += days * 86400


async def listed(host, who=None):
    return await (await (who or host.admin).get("/api/mcp/keys")).get_json()


async def test_a_key_is_made_as_printed_and_its_bearer_is_shown_once(host):
    status, key = await create(host)
    assert status == 201
    assert list(key) == PRINTED
    assert {name: key[name] for name in ("name", "client_type", "namespace", "scopes")} == {
        name: BODY[name] for name in ("name", "client_type", "namespace", "scopes")
    }
    assert re.fullmatch(r"quaz_[A-Z1-9]{29}", key["raw"]) and not set("IOU0") & set(key["raw"][5:])
    assert key["key_prefix"] == key["raw"][:12]
    assert key["expires_at"] == "2026-04-01T00:00:00Z", "90 days after the start of 2026"
    (shown,) = await listed(host)
    assert "raw" not in shown and key["raw"] not in str(shown)
    assert {name: shown[name] for name in PRINTED[:-1]} == {name: key[name] for name in PRINTED[:-1]}


async def test_a_key_may_be_granted_further_namespaces_to_read(host):
    _, key = await create(host, namespaces_read=["personal"])
    assert key["namespaces_read"] == ["personal"]
    assert (await listed(host))[0]["namespaces_read"] == ["personal"]


async def test_only_the_hash_of_a_bearer_is_kept(host):
    _, key = await create(host)
    rows = await host.ctx("memory").db.read(lambda db: list(db.scalars(select(Key))))
    assert rows[0].hash.startswith("$2b$04$")
    assert key["raw"] not in str(rows[0].model_dump())
    assert key["raw"] not in str(await host.event_log())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scopes": ["read_memory", "become_root"]}, "become_root"),
        ({"scopes": []}, "scopes"),
        ({"namespace": "No Spaces"}, "namespace"),
        ({"namespace": "molly"}, "only Molly writes"),
        ({"client_type": "Claude Desktop"}, "client_type"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"name": "  "}, "name"),
        ({"name": "nul\0"}, "NUL"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_by_name(host, change, said):
    status, problem = await create(host, **change)
    assert status == 400 and problem["error"] == "invalid_request"
    assert said in str(problem["fields"])


async def test_the_bearers_keep_the_contract_of_their_capability(host):
    _, key = await create(host)

    async def revoke():
        assert (await host.admin.delete(f"/api/mcp/keys/{key['id']}")).status_code == 204

    authenticator = host.ctx("memory").use(BearerAuthenticator)
    await check_bearer_authenticator(authenticator, authorization=f"Bearer {key['raw']}", revoke=revoke)


async def refusal(host, bearer):
    with pytest.raises(Unauthenticated) as refused:
        await host.ctx("memory").use(BearerAuthenticator).authenticate(f"Bearer {bearer}", None)
    return refused.value.code


async def test_each_way_to_lose_a_key_has_its_code(host):
    _, revoked = await create(host)
    await host.admin.delete(f"/api/mcp/keys/{revoked['id']}")
    assert await refusal(host, revoked["raw"]) == "key_revoked"
    _, expired = await create(host, expires_in_days=1)
    later(host, days=1)
    assert await refusal(host, expired["raw"]) == "key_expired"
    assert await refusal(host, "quaz_" + "A" * 29) == "key_invalid"
    assert await refusal(host, expired["raw"][:12] + "Z" * 22) == "key_invalid", "only the beginning is right"


async def test_a_rotated_key_is_another_with_the_same_grants_and_the_old_one_is_revoked(host):
    _, old = await create(host, namespaces_read=["personal"])
    later(host, days=10)
    answer = await host.admin.post(f"/api/mcp/keys/{old['id']}/rotate")
    new = await answer.get_json()
    assert answer.status_code == 201
    same = ("name", "client_type", "namespace", "scopes", "namespaces_read")
    assert {n: new[n] for n in same} == {n: old[n] for n in same}
    assert new["id"] != old["id"] and new["raw"] != old["raw"]
    assert new["expires_at"] == "2026-04-11T00:00:00Z", "90 days from now on"
    assert [key["id"] for key in await listed(host)] == [new["id"]]
    assert await refusal(host, old["raw"]) == "key_revoked"


async def test_keys_hold_over_a_restart_and_so_does_a_revocation(host):
    _, kept = await create(host)
    _, revoked = await create(host)
    await host.admin.delete(f"/api/mcp/keys/{revoked['id']}")
    await host.restart()
    authenticator = host.ctx("memory").use(BearerAuthenticator)
    assert authenticator.recognise(f"Bearer {kept['raw']}") is None, "nothing that is a secret was kept"
    assert (await authenticator.authenticate(f"Bearer {kept['raw']}", None)).id == kept["id"]
    assert await refusal(host, revoked["raw"]) == "key_revoked"


async def test_the_second_request_of_a_bearer_costs_microseconds(host):
    _, key = await create(host)
    await host.restart()
    authenticator, header = host.ctx("memory").use(BearerAuthenticator), f"Bearer {key['raw']}"
    await authenticator.authenticate(header, None)
    took = []
    for _ in range(200):
        start = time.perf_counter()
        assert authenticator.recognise(header) is not None
        took.append(time.perf_counter() - start)
    assert sorted(took)[100] < 0.0002


async def test_a_stampede_with_one_cold_bearer_is_one_check_which_outlives_those_who_give_up(host):
    _, key = await create(host)
    await host.restart()
    bearers = host.ctx("memory").use(BearerAuthenticator)
    assert isinstance(bearers, KeyAuthenticator)
    checked = []
    matches = bearers._hasher.matches

    async def counting(bearer, hashed):
        checked.append(bearer)
        await asyncio.sleep(0.05)
        return await matches(bearer, hashed)

    bearers._hasher.matches = counting
    header = f"Bearer {key['raw']}"
    impatient = [asyncio.create_task(bearers.authenticate(header, None)) for _ in range(20)]
    await asyncio.sleep(0.01)
    for task in impatient[:10]:
        task.cancel()
    found = await asyncio.gather(*impatient, return_exceptions=True)
    assert len(checked) == 1
    assert [p.id for p in found[10:]] == [key["id"]] * 10


async def test_people_see_and_end_their_own_keys_alone(host):
    _, mine = await create(host)
    assert await listed(host, host.operator) == []
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        answer = await host.operator.request(method, f"/api/mcp/keys/{mine['id']}{path}")
        assert answer.status_code == 404 and (await answer.get_json())["error"] == "key_not_found"


async def test_a_viewer_makes_no_key(host):
    status, problem = await create(host, host.viewer)
    assert status == 403 and problem["permission"] == "memory:write"


async def test_a_user_has_so_many_keys_and_no_more(host):
    for _ in range(3):
        assert (await create(host))[0] == 201
    status, problem = await create(host)
    assert status == 409 and problem["error"] == "too_many_keys"


async def test_each_change_of_a_key_is_an_event(host):
    _, key = await create(host)
    new = await (await host.admin.post(f"/api/mcp/keys/{key['id']}/rotate")).get_json()
    await host.admin.delete(f"/api/mcp/keys/{new['id']}")
    told = [(e.type, e.resource, e.actor.id) for e in await host.event_log()]
    assert told == [
        ("mcp_key.created", key["id"], "usr_admin"),
        ("mcp_key.rotated", new["id"], "usr_admin"),
        ("mcp_key.revoked", new["id"], "usr_admin"),
    ]


async def test_when_a_key_was_used_last_is_listed_and_kept(host):
    _, key = await create(host)
    assert (await listed(host))[0]["last_used_at"] is None
    await host.clock.advance(60)
    host.ctx("memory").use(BearerAuthenticator).recognise(f"Bearer {key['raw']}")
    assert (await listed(host))[0]["last_used_at"] == "2026-01-01T00:01:00Z"
    await host.restart()
    assert (await listed(host))[0]["last_used_at"] == "2026-01-01T00:01:00Z"


async def test_keys_follow_their_owner(cloudos):
    settings = {"auth": {"bcrypt_cost": 4}, "memory": {"keys": {"bcrypt_cost": 4}, "embedding": {"backend": "off"}}}
    host = await cloudos("auth", "notes", "memory", settings=settings)
    who = {"username": "root", "password": "correct horse battery"}
    await host.anonymous.post("/api/auth/setup", json=who)

    async def sign_in(**who):
        body = await (await host.anonymous.post("/api/auth/login", json=who)).get_json()
        return {"Authorization": f"Bearer {body['access_token']}"}

    root = await sign_in(**who)
    ann = {"username": "ann", "password": "another horse battery"}
    made = await host.anonymous.post("/api/users", json={**ann, "role": "operator"}, headers=root)
    user = await made.get_json()
    key = await (await host.anonymous.post("/api/mcp/keys", json=BODY, headers=await sign_in(**ann))).get_json()
    bearers = host.ctx("memory").use(BearerAuthenticator)

    async def change(expected, **changes):
        await host.anonymous.put(f"/api/users/{user['id']}", json=changes, headers=root)

        def follows():
            known = bearers.recognise(f"Bearer {key['raw']}")
            return (known and sorted(known.scopes)) == expected

        await eventually(follows)

    await change(["read_memory"], role="viewer")
    await change(["read_memory", "write_memory"], role="operator")
    await change(None, disabled=True)
    await change(["read_memory", "write_memory"], disabled=False)
    await host.anonymous.delete(f"/api/users/{user['id']}", headers=root)
    assert bearers.recognise(f"Bearer {key['raw']}") is None, "at once, before anybody has read the event"
    async with asyncio.timeout(5):
        while await refusal(host, key["raw"]) != "key_revoked":
            await asyncio.sleep(0.01)


@pytest.fixture
async def with_owner(cloudos):
    """Run a node with people: `root`, and `ann`, whose MCP key is about to be made while bcrypt is held."""
    settings = {"auth": {"bcrypt_cost": 4}, "memory": {"keys": {"bcrypt_cost": 4}, "embedding": {"backend": "off"}}}
    host = await cloudos("auth", "notes", "memory", settings=settings)
    who = {"username": "root", "password": "correct horse battery"}
    ann = {"username": "ann", "password": "another horse battery"}
    await host.anonymous.post("/api/auth/setup", json=who)

    async def sign_in(who):
        body = await (await host.anonymous.post("/api/auth/login", json=who)).get_json()
        return {"Authorization": f"Bearer {body['access_token']}"}

    host.root = await sign_in(who)
    made = await host.anonymous.post("/api/users", json={**ann, "role": "operator"}, headers=host.root)
    host.path = f"/api/users/{(await made.get_json())['id']}"
    host.user_id = host.path.rsplit("/")[-1]
    host.ann = await sign_in(ann)
    return host


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}, None], ids=["demoted", "disabled", "gone"])
async def test_a_key_that_is_being_made_when_its_owner_loses_the_right_is_not_made(with_owner, monkeypatch, change):
    host, reached, go = with_owner, asyncio.Event(), asyncio.Event()
    real = Hasher.hash

    async def held(hasher, bearer):
        hashed = await real(hasher, bearer)
        reached.set()
        await go.wait()
        return hashed

    monkeypatch.setattr(Hasher, "hash", held)
    making = asyncio.create_task(host.anonymous.post("/api/mcp/keys", json=BODY, headers=host.ann))
    await reached.wait()
    method = "DELETE" if change is None else "PUT"
    await host.anonymous.request(method, host.path, json=change, headers=host.root)
    go.set()
    answer = await making
    assert (answer.status_code, (await answer.get_json())["error"]) == (403, "role_changed")
    assert not await host.ctx("memory").db.read(lambda db: db.exec(select(Key)).all())


async def test_a_key_that_was_stored_before_its_owner_was_deleted_ends_with_the_owner(with_owner):
    """The deletion and the key wait for the database together; the memory hears of the key after the deletion."""
    host, go, begun = with_owner, threading.Event(), threading.Event()

    def wait(session):
        begun.set()
        go.wait(5)

    held = asyncio.create_task(host.ctx("memory").db.write(wait))
    await asyncio.to_thread(begun.wait, 5)
    deleting = asyncio.create_task(host.anonymous.delete(host.path, headers=host.root))
    await asyncio.sleep(0.1)
    making = asyncio.create_task(host.anonymous.post("/api/mcp/keys", json=BODY, headers=host.ann))
    await asyncio.sleep(0.2)
    go.set()
    await held
    assert (await deleting).status_code == 204
    made = await making
    if made.status_code == 201:
        assert await refusal(host, (await made.get_json())["raw"]) in ("key_suspended", "key_revoked")
    async with asyncio.timeout(5):
        while await host.ctx("memory").db.read(
            lambda db: db.exec(select(Key).where(Key.__table__.c.revoked_at.is_(None))).all()
        ):
            await asyncio.sleep(0.02)


async def test_of_many_keys_made_at_once_no_more_are_made_than_a_user_may_have(host):
    made = await asyncio.gather(*(create(host) for _ in range(8)))
    assert sorted(status for status, _ in made) == [201] * 3 + [409] * 5


async def test_one_user_has_a_few_keys_under_way_and_no_queue(cloudos):
    settings = {"memory": {"keys": {"bcrypt_cost": 4, "max_per_user": 50}, "embedding": {"backend": "off"}}}
    host = await cloudos("notes", "memory", settings=settings)
    made = await asyncio.gather(*(create(host) for _ in range(12)), create(host, host.operator))
    statuses = [status for status, _ in made]
    assert statuses[-1] == 201, "another's key waits for none of them"
    assert statuses[:-1].count(201) >= 3 and set(statuses) == {201, 429}


async def test_an_admin_sees_and_revokes_the_keys_of_others(with_owner):
    host = with_owner
    key = await (await host.anonymous.post("/api/mcp/keys", json=BODY, headers=host.ann)).get_json()
    path = f"/api/mcp/keys?user={host.user_id}"
    assert [k["id"] for k in await (await host.anonymous.get(path, headers=host.root)).get_json()] == [key["id"]]
    assert await (await host.anonymous.get("/api/mcp/keys", headers=host.root)).get_json() == []
    other = await host.anonymous.get("/api/mcp/keys?user=usr_other", headers=host.ann)
    assert (other.status_code, (await other.get_json())["error"]) == (403, "admin_required")
    revoked = await host.anonymous.delete(f"/api/mcp/keys/{key['id']}", headers=host.root)
    assert revoked.status_code == 204
    assert await refusal(host, key["raw"]) == "key_revoked"


async def test_who_was_demoted_revokes_their_own_keys(with_owner):
    host = with_owner
    key = await (await host.anonymous.post("/api/mcp/keys", json=BODY, headers=host.ann)).get_json()
    await host.anonymous.put(host.path, json={"role": "viewer"}, headers=host.root)
    assert (await host.anonymous.delete(f"/api/mcp/keys/{key['id']}", headers=host.ann)).status_code == 204
    assert await refusal(host, key["raw"]) == "key_revoked"


async def test_keys_that_are_long_gone_are_forgotten(host):
    _, key = await create(host, expires_in_days=1)
    later(host, days=92)
    await host.run_job("memory", "prune")
    assert await listed(host) == []
    assert await refusal(host, key["raw"]) == "key_invalid"


async def test_the_door_takes_mcp_keys_alone_and_names_the_scheme(mcp_node):
    node = await mcp_node()
    for bearer in (None, "admin", "quaz_", "quaz_" + "A" * 29):
        answer = await node.post(bearer, rpc("ping"))
        assert answer.status_code == 401, bearer
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["message"]
