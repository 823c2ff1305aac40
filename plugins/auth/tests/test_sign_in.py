"""Set-up, sign-in, rotation and revocation."""

import asyncio

import pytest

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
