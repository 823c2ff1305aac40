"""Set-up, sign-in, rotation and revocation."""

import asyncio

import pytest
from sqlalchemy import text

WHO = {"username": "root", "password": "correct horse battery"}
SETTINGS = {"auth": {"bcrypt_cost": 4}}


@pytest.fixture
async def host(cloudos):
    return await cloudos("auth", settings=SETTINGS)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def sign_in(host):
    await host.anonymous.post("/api/auth/setup", json=WHO)
    return await (await host.anonymous.post("/api/auth/login", json=WHO)).get_json()


async def test_setup_works_once_even_when_twenty_try(host):
    answers = await asyncio.gather(*[host.anonymous.post("/api/auth/setup", json=WHO) for _ in range(20)])
    assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    made = await next(a for a in answers if a.status_code == 201).get_json()
    assert made["message"] == "Setup complete"
    assert made["user"]["id"].startswith("usr_")
    assert set(made["user"]) == {"id", "username", "created_at"}


async def test_login_answers_as_the_reference_and_me_knows_the_user(host):
    tokens = await sign_in(host)
    assert set(tokens) == {"access_token", "refresh_token", "token_type"}
    assert tokens["token_type"] == "bearer"
    for _ in range(2):
        me = await host.anonymous.get("/api/auth/me", headers=bearer(tokens["access_token"]))
        assert (me.status_code, (await me.get_json())["username"]) == (200, "root")


async def test_a_wrong_password_and_an_unknown_user_look_the_same(host):
    await sign_in(host)
    wrong = await host.anonymous.post("/api/auth/login", json={**WHO, "password": "x"})
    unknown = await host.anonymous.post("/api/auth/login", json={"username": "no", "password": "x"})
    assert (wrong.status_code, await wrong.get_json()) == (unknown.status_code, await unknown.get_json())
    assert wrong.status_code == 401


async def test_a_refresh_token_holds_once_and_its_replay_ends_the_session(host):
    first = await sign_in(host)
    second = await host.anonymous.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]})
    fresh = (await second.get_json())["access_token"]
    replay = await host.anonymous.post("/api/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert (replay.status_code, (await replay.get_json())["error"]) == (401, "refresh_replayed")
    assert (await host.anonymous.get("/api/auth/me", headers=bearer(fresh))).status_code == 401


async def test_an_access_token_expires_and_a_restart_keeps_the_session(host):
    tokens = await sign_in(host)
    await host.restart()
    assert (await host.anonymous.get("/api/auth/me", headers=bearer(tokens["access_token"]))).status_code == 200
    await host.clock.advance(16 * 60)
    late = await host.anonymous.get("/api/auth/me", headers=bearer(tokens["access_token"]))
    assert (late.status_code, (await late.get_json())["error"]) == (401, "token_expired")


async def test_a_signed_out_session_is_refused_on_the_next_request(host):
    head = bearer((await sign_in(host))["access_token"])
    assert (await host.anonymous.post("/api/auth/logout", headers=head)).status_code == 204
    answer = await host.anonymous.get("/api/auth/me", headers=head)
    assert (answer.status_code, (await answer.get_json())["error"]) == (401, "session_revoked")


async def test_a_changed_password_ends_the_other_sessions(host):
    here = bearer((await sign_in(host))["access_token"])
    there = bearer((await (await host.anonymous.post("/api/auth/login", json=WHO)).get_json())["access_token"])
    body = {"current_password": WHO["password"], "new_password": "another long one"}
    assert (await host.anonymous.post("/api/auth/change-password", json=body, headers=here)).status_code == 204
    assert (await host.anonymous.get("/api/auth/me", headers=here)).status_code == 200
    assert (await host.anonymous.get("/api/auth/me", headers=there)).status_code == 401
    sessions = await (await host.anonymous.get("/api/auth/sessions", headers=here)).get_json()
    assert [s["current"] for s in sessions] == [True]


async def test_a_node_without_control_panel_says_so(host):
    assert await (await host.anonymous.get("/api/auth/cp-status")).get_json() == {"connected": False}


@pytest.mark.parametrize("header", ["Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer", "", "Bearer \x00"])
async def test_a_bad_token_is_401_and_never_500(host, header):
    assert (await host.anonymous.get("/api/auth/me", headers={"Authorization": header})).status_code == 401


async def test_a_login_begun_with_the_old_password_gets_no_session_once_it_is_changed(host):
    from cloudos_auth.service import Accounts

    here = bearer((await sign_in(host))["access_token"])
    passwords = host.ctx("auth").use(Accounts)._passwords
    real, checked, go = passwords.check, asyncio.Event(), asyncio.Event()

    async def held(password, hashed, **share):
        result = await real(password, hashed, **share)
        checked.set()
        await go.wait()
        return result

    passwords.check = held
    login = asyncio.create_task(host.anonymous.post("/api/auth/login", json=WHO))
    await checked.wait()
    passwords.check = real
    body = {"current_password": WHO["password"], "new_password": "another long one"}
    assert (await host.anonymous.post("/api/auth/change-password", json=body, headers=here)).status_code == 204
    go.set()
    assert (await login).status_code == 401
    assert len(await (await host.anonymous.get("/api/auth/sessions", headers=here)).get_json()) == 1


async def test_of_those_that_use_one_refresh_token_at_once_at_most_one_gets_tokens(host):
    token = (await sign_in(host))["refresh_token"]
    ask = [host.anonymous.post("/api/auth/refresh", json={"refresh_token": token}) for _ in range(8)]
    answers = [a.status_code for a in await asyncio.gather(*ask)]
    assert answers.count(200) <= 1
    assert set(answers) <= {200, 401}


async def test_the_models_equal_the_migrations(host):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from cloudos_auth.models import Base

    def mine(name, type_, parents):
        return type_ != "table" or (name.startswith("auth_") and not name.endswith("_alembic_version"))

    with host.host.db.write_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": mine})
        assert compare_metadata(context, Base.metadata) == []


async def test_an_expired_session_is_neither_listed_nor_kept(host):
    from cloudos_auth.models import Session
    from sqlmodel import select

    await sign_in(host)
    await host.clock.advance(29 * 86400)
    here = bearer((await (await host.anonymous.post("/api/auth/login", json=WHO)).get_json())["access_token"])
    await host.clock.advance(2 * 86400)
    here = bearer((await (await host.anonymous.post("/api/auth/login", json=WHO)).get_json())["access_token"])
    assert len(await (await host.anonymous.get("/api/auth/sessions", headers=here)).get_json()) == 2
    db = host.ctx("auth").db
    async with asyncio.timeout(5):
        while len(await db.read(lambda s: s.exec(select(Session)).all())) != 2:
            await host.clock.advance(3600)


async def test_a_node_that_was_set_up_opens_no_set_up_when_its_users_are_gone(cloudos):
    host = await cloudos("auth", settings=SETTINGS)
    assert (await host.anonymous.post("/api/auth/setup", json=WHO)).status_code == 201
    await host.restart()  # also a node that was set up before there was a mark has it from now on
    await host.host.db.write(lambda session: session.execute(text("DELETE FROM auth_user")))
    await host.restart()
    answer = await host.anonymous.post("/api/auth/setup", json={**WHO, "username": "stranger"})
    assert (answer.status_code, (await answer.get_json())["error"]) == (409, "set_up_before")
