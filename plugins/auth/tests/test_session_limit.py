"""The sessions of a user: so many at most, and ended together."""

import pytest
from cloudos_auth.jobs import PURGE
from cloudos_auth.models import Session
from sqlalchemy import event
from sqlmodel import select

ADMIN = {"username": "root", "password": "a long password"}
ADA = {"username": "ada", "password": "another password"}


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4, "sessions_per_user": 5}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    host.root = bearer(await sign_in(host, ADMIN))
    host.ada = await (await host.anonymous.post("/api/users", json=ADA, headers=host.root)).get_json()
    return host


async def sign_in(host, account=ADA):
    await host.clock.advance(10)
    return await (await host.anonymous.post("/api/auth/login", json=account)).get_json()


def bearer(tokens):
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def alive(host, tokens):
    return [(await host.anonymous.get("/api/auth/me", headers=bearer(each))).status_code == 200 for each in tokens]


async def stored(host, user):
    wanted = select(Session).where(Session.user_id == user["id"])
    return await host.ctx("auth").db.read(lambda db: len(db.exec(wanted).all()))


async def many_sessions(host, user, count):
    """Give a user as many sessions as a node may have from before there was a limit."""
    now = host.clock.now()

    def store(db):
        for i in range(count):
            times = {"created_at": now, "last_used_at": now, "expires_at": now.replace(year=now.year + 1)}
            db.add(Session(id=f"sess_{i:05}", user_id=user["id"], refresh="x", **times))

    await host.ctx("auth").db.write(store)
    await host.restart()


async def test_a_new_one_ends_the_least_recently_used(node):
    first, *others = [await sign_in(node) for _ in range(5)]
    refreshed = await node.anonymous.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]})
    first = await refreshed.get_json()
    newest = await sign_in(node)
    assert await alive(node, [first, *others, newest]) == [True, False, True, True, True, True]
    assert await stored(node, node.ada) == 5
    assert await alive(node, [{"access_token": node.root["Authorization"][7:]}]) == [True], "each user has their own"
    ended = [e for e in await node.event_log() if e.type == "user.session_revoked"]
    assert [e.data["reason"] for e in ended] == ["newer ones took their place"]
    await node.restart()
    assert await alive(node, [first, *others, newest]) == [True, False, True, True, True, True]


async def test_a_node_that_has_more_comes_down_to_the_limit(node):
    await many_sessions(node, node.ada, 3000)
    await PURGE.run(node.ctx("auth"))
    assert await stored(node, node.ada) == 5
    ended = [e for e in await node.event_log() if e.type == "user.sessions_revoked"]
    assert [(e.resource, e.data["count"]) for e in ended] == [(node.ada["id"], 2995)]


async def test_a_sign_in_ends_what_is_beyond_the_limit_however_much(node):
    await many_sessions(node, node.ada, 3000)
    tokens = await sign_in(node)
    assert await stored(node, node.ada) == 5
    assert await alive(node, [tokens]) == [True]


async def test_three_thousand_sessions_are_ended_by_a_few_statements_and_one_event(node):
    await many_sessions(node, node.ada, 3000)
    statements = []
    engine = node.host.db.write_engine
    count = lambda *call: statements.append(call[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", count)
    path, body = f"/api/users/{node.ada['id']}", {"disabled": True}
    assert (await node.anonymous.put(path, json=body, headers=node.root)).status_code == 200
    event.remove(engine, "before_cursor_execute", count)
    assert len(statements) < 60
    assert await stored(node, node.ada) == 0
    ended = [e for e in await node.event_log() if e.type.startswith("user.session")]
    assert [(e.type, e.data["count"], e.data["reason"]) for e in ended] == [
        ("user.sessions_revoked", 3000, "the user was disabled")
    ]
