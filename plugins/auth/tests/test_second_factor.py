"""The second factor: set up, asked for at sign-in, never accepted twice."""

import asyncio
import base64
import threading
from datetime import timedelta

import pyotp
import pytest
from cloudos_auth.login import Login

PASSWORD = "a long password"


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    host.account = {"username": "admin", "password": PASSWORD}
    await host.anonymous.post("/api/auth/setup", json=host.account)
    host.bearer = await sign_in(host)
    return host


async def sign_in(host, **more):
    answer = await host.anonymous.post("/api/auth/login", json={**host.account, **more})
    body = await answer.get_json()
    return {"Authorization": f"Bearer {body['access_token']}"} if "access_token" in body else body


def code(host, secret, steps=0):
    return pyotp.TOTP(secret).at(host.clock.now() + timedelta(seconds=30 * steps))


async def enabled(host):
    setup = await (await host.anonymous.post("/api/auth/totp/enable", headers=host.bearer)).get_json()
    verified = await host.anonymous.post(
        "/api/auth/totp/verify", headers=host.bearer, json={"code": code(host, setup["secret"])}
    )
    assert (verified.status_code, await verified.get_json()) == (200, {"totp_enabled": True})
    return setup


async def verify(host, temp_token, given):
    return await host.anonymous.post("/api/auth/totp/verify", json={"temp_token": temp_token, "code": given})


async def test_it_is_in_force_only_after_a_first_code(node):
    setup = await (await node.anonymous.post("/api/auth/totp/enable", headers=node.bearer)).get_json()
    assert set(setup) == {"secret", "otpauth_uri", "qr_png_base64", "backup_codes"}
    assert setup["otpauth_uri"].startswith("otpauth://totp/")
    assert base64.b64decode(setup["qr_png_base64"]).startswith(b"\x89PNG")
    assert len(set(setup["backup_codes"])) == 10
    assert "Authorization" in await sign_in(node)

    wrong = await node.anonymous.post("/api/auth/totp/verify", headers=node.bearer, json={"code": "000000"})
    assert wrong.status_code == 401
    await enabled(node)
    begun = await sign_in(node)
    assert set(begun) == {"totp_required", "temp_token"}
    again = await node.anonymous.post("/api/auth/totp/enable", headers=node.bearer)
    assert (again.status_code, (await again.get_json())["error"]) == (409, "totp_enabled")


async def test_a_code_completes_a_sign_in_once_and_one_step_off_is_near_enough(node):
    setup = await enabled(node)
    begun = await sign_in(node)
    assert (await verify(node, begun["temp_token"], code(node, setup["secret"]))).status_code == 401, "used to confirm"

    await node.clock.advance(60)
    begun = await sign_in(node)
    given = code(node, setup["secret"], 1)
    completed = await verify(node, begun["temp_token"], given)
    assert set(await completed.get_json()) == {"access_token", "refresh_token", "token_type"}
    assert (await verify(node, begun["temp_token"], given)).status_code == 401
    other = await sign_in(node)
    assert (await verify(node, other["temp_token"], given)).status_code == 401, "the code was used"
    await node.clock.advance(120)
    assert (await verify(node, other["temp_token"], code(node, setup["secret"], 2))).status_code == 401, "too far"


async def test_a_temporary_token_opens_nothing_and_ends_after_five_minutes(node):
    setup = await enabled(node)
    begun = await sign_in(node)
    bearer = {"Authorization": f"Bearer {begun['temp_token']}"}
    assert (await node.anonymous.get("/api/auth/me", headers=bearer)).status_code == 401
    await node.clock.advance(301)
    late = await verify(node, begun["temp_token"], code(node, setup["secret"]))
    assert (late.status_code, (await late.get_json())["error"]) == (401, "token_expired")


async def test_of_many_uses_of_one_backup_code_one_wins(node):
    setup = await enabled(node)
    begun = [await sign_in(node) for _ in range(8)]
    answers = await asyncio.gather(*(verify(node, b["temp_token"], setup["backup_codes"][0]) for b in begun[:4]))
    assert sorted(a.status_code for a in answers) == [200, 401, 401, 401]
    used = [e for e in await node.event_log() if e.type == "user.backup_code_used"]
    assert [e.data["left"] for e in used] == [9]


async def test_disabling_needs_both_factors(node):
    setup = await enabled(node)
    await node.clock.advance(60)
    for wrong in (
        {"password": "not the password", "code": code(node, setup["secret"])},
        {"password": PASSWORD, "code": "1"},
    ):
        refused = await node.anonymous.post("/api/auth/totp/disable", headers=node.bearer, json=wrong)
        assert refused.status_code == 401
    both = {"password": PASSWORD, "code": code(node, setup["secret"])}
    assert (await node.anonymous.post("/api/auth/totp/disable", headers=node.bearer, json=both)).status_code == 200
    assert "Authorization" in await sign_in(node)


async def test_the_seed_is_nowhere_in_the_database_or_the_events(node):
    setup = await enabled(node)
    await node.stop()
    for path in node_files(node):
        assert setup["secret"].encode() not in path.read_bytes(), path
        assert setup["backup_codes"][0].encode() not in path.read_bytes(), path


def node_files(node):
    folder = node._make().settings.data_dir
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_wrong_codes_lock_the_account_out(node):
    await enabled(node)
    begun = await sign_in(node)
    statuses = [(await verify(node, begun["temp_token"], "000000")).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


async def test_a_session_that_is_not_fresh_sets_nothing_up_without_the_password(node):
    await node.clock.advance(601)

    async def enable(**body):
        answer = await node.anonymous.post("/api/auth/totp/enable", headers=node.bearer, **body)
        return answer.status_code, (await answer.get_json()).get("error")

    assert await enable() == (403, "password_required")
    assert await enable(json={}) == (403, "password_required")
    assert await enable(json={"password": "not the password"}) == (401, "invalid_credentials")
    pending = await node.anonymous.post("/api/auth/totp/verify", headers=node.bearer, json={"code": "000000"})
    assert (await pending.get_json())["error"] == "totp_not_pending"
    assert await enable(json={"password": PASSWORD}) == (200, None)
    for _ in range(4):
        assert (await enable(json={"password": "not the password"}))[0] == 401
    assert (await enable(json={"password": PASSWORD}))[0] == 429, "guesses are counted"


async def test_spent_sign_ins_are_forgotten_by_the_thread_that_notes_them(node):
    setup = await enabled(node)
    signing_in, writers = node.ctx("auth").use(Login), set()

    class Watched(dict):
        def items(self):
            writers.add(threading.current_thread().name)
            return super().items()

    signing_in._spent = Watched(old=0.0)
    begun = await sign_in(node)
    assert (await verify(node, begun["temp_token"], setup["backup_codes"][0])).status_code == 200
    assert (writers, len(signing_in._spent)) == ({"db-write"}, 1)
