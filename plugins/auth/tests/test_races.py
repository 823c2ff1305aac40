"""What is changed while something slow is under way stays changed: nothing is written back from a copy."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from cloudos_auth.service import Accounts
from cloudos_auth.users import UserService

ADMIN = {"username": "root", "password": "a long password"}
ADA = {"username": "ada", "password": "another password"}
NEW = {"current_password": ADA["password"], "new_password": "the next password"}


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    host.root = await signed_in(host, ADMIN)
    answer = await host.anonymous.post("/api/users", json={**ADA, "role": "admin"}, headers=host.root)
    host.ada = await answer.get_json()
    host.bearer = await signed_in(host, ADA)
    return host


async def signed_in(host, account):
    answer = await host.anonymous.post("/api/auth/login", json=account)
    host.tokens = await answer.get_json()
    return {"Authorization": f"Bearer {host.tokens['access_token']}"}


async def status(host, method, path, bearer, **kwargs):
    return (await host.anonymous.request(method, path, headers=bearer, **kwargs)).status_code


@asynccontextmanager
async def held(owner, name):
    """Hold the slow step after its work, while the body of the block lets other requests through."""
    real, reached, go = getattr(owner, name), asyncio.Event(), asyncio.Event()

    async def slow(*args, **more):
        result = await real(*args, **more)
        reached.set()
        await go.wait()
        return result

    setattr(owner, name, slow)
    try:
        yield reached
    finally:
        setattr(owner, name, real)
        go.set()


@asynccontextmanager
async def writer_held(host):
    """Hold the database's writer: what is asked for meanwhile waits behind it, in order."""
    go, begun = threading.Event(), threading.Event()

    def wait(session):
        begun.set()
        go.wait(5)

    task = asyncio.create_task(host.ctx("auth").db.write(wait))
    await asyncio.to_thread(begun.wait, 5)
    try:
        yield
    finally:
        go.set()
        await task


def passwords(host):
    return host.ctx("auth").use(Accounts)._passwords


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}, None], ids=["demoted", "disabled", "gone"])
async def test_a_password_change_undoes_no_change_of_its_user(node, change):
    path = f"/api/users/{node.ada['id']}"
    async with held(passwords(node), "hash") as reached:
        own = asyncio.create_task(status(node, "POST", "/api/auth/change-password", node.bearer, json=NEW))
        await reached.wait()
        if change is None:
            assert await status(node, "DELETE", path, node.root) == 204
        else:
            assert await status(node, "PUT", path, node.root, json=change) == 200
    changed = await own
    again = await node.anonymous.post("/api/auth/login", json={**ADA, "password": NEW["new_password"]})
    if change == {"role": "viewer"}:
        assert (changed, again.status_code) == (204, 200)
        bearer = {"Authorization": f"Bearer {(await again.get_json())['access_token']}"}
        assert await status(node, "GET", "/api/users", bearer) == 403
        assert await status(node, "GET", "/api/users", node.bearer) == 403
    else:
        assert (changed, again.status_code) == (401, 401)
    shown = await (await node.anonymous.get("/api/users", headers=node.root)).get_json()
    await node.restart()
    assert await (await node.anonymous.get("/api/users", headers=node.root)).get_json() == shown


async def test_of_two_admins_who_change_one_user_at_once_both_are_heard(node):
    path = f"/api/users/{node.ada['id']}"
    async with held(passwords(node), "hash") as reached:
        reset = asyncio.create_task(status(node, "PUT", path, node.root, json={"password": "set by an admin"}))
        await reached.wait()
        assert await status(node, "PUT", path, node.root, json={"role": "viewer"}) == 200
    assert await reset == 200
    bearer = await signed_in(node, {**ADA, "password": "set by an admin"})
    assert await status(node, "GET", "/api/users", bearer) == 403


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}, None], ids=["demoted", "disabled", "gone"])
async def test_who_is_no_admin_any_more_makes_no_admin(node, change):
    path = f"/api/users/{node.ada['id']}"
    wanted = {"username": "eve", "password": "a password of hers", "role": "admin"}
    async with held(passwords(node), "hash") as reached:
        made = asyncio.create_task(status(node, "POST", "/api/users", node.bearer, json=wanted))
        await reached.wait()
        if change is None:
            await status(node, "DELETE", path, node.root)
        else:
            await status(node, "PUT", path, node.root, json=change)
    assert await made == 403
    assert not any(user.username == "eve" for user in node.ctx("auth").use(UserService).all())


async def test_a_key_of_who_was_demoted_meanwhile_is_not_made(node):
    async with writer_held(node):
        path = f"/api/users/{node.ada['id']}"
        demoted = asyncio.create_task(status(node, "PUT", path, node.root, json={"role": "viewer"}))
        await asyncio.sleep(0.05)
        wanted = {"name": "mine", "scopes": ["users:write"]}
        made = asyncio.create_task(status(node, "POST", "/api/keys", node.bearer, json=wanted))
        await asyncio.sleep(0.05)
    assert (await demoted, await made) == (200, 403)


async def test_a_second_factor_that_is_set_up_undoes_no_demotion(node):
    path = f"/api/users/{node.ada['id']}"
    async with writer_held(node):
        demoted = asyncio.create_task(status(node, "PUT", path, node.root, json={"role": "viewer"}))
        await asyncio.sleep(0.05)
        enabled = asyncio.create_task(status(node, "POST", "/api/auth/totp/enable", node.bearer))
        await asyncio.sleep(0.05)
    assert (await demoted, await enabled) == (200, 200)
    assert await status(node, "GET", "/api/users", node.bearer) == 403


async def test_a_session_that_is_revoked_beside_its_refresh_is_over(node):
    token, here = node.tokens["refresh_token"], await signed_in(node, ADA)
    listed = await (await node.anonymous.get("/api/auth/sessions", headers=here)).get_json()
    other = next(session["id"] for session in listed if not session["current"])
    async with writer_held(node):
        refresh = asyncio.create_task(node.anonymous.post("/api/auth/refresh", json={"refresh_token": token}))
        await asyncio.sleep(0.05)
        revoked = asyncio.create_task(status(node, "DELETE", f"/api/auth/sessions/{other}", here))
        await asyncio.sleep(0.05)
    answer = await refresh
    assert (answer.status_code, await revoked) == (200, 204)
    fresh = await answer.get_json()
    assert await status(node, "GET", "/api/auth/me", {"Authorization": f"Bearer {fresh['access_token']}"}) == 401
    late = await node.anonymous.post("/api/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert late.status_code == 401


async def test_a_sign_in_that_was_begun_before_gets_no_session_past_a_disabling_or_a_second_factor(node):
    async with held(passwords(node), "check") as reached:
        login = asyncio.create_task(node.anonymous.post("/api/auth/login", json=ADA))
        await reached.wait()
        await second_factor(node)
    assert (await login).status_code == 401
    path = f"/api/users/{node.ada['id']}"
    await status(node, "PUT", path, node.root, json={"reset_totp": True})
    async with held(passwords(node), "check") as reached:
        login = asyncio.create_task(node.anonymous.post("/api/auth/login", json=ADA))
        await reached.wait()
        await status(node, "PUT", path, node.root, json={"disabled": True})
    assert (await login).status_code == 401


async def second_factor(node):
    import pyotp

    setup = await (await node.anonymous.post("/api/auth/totp/enable", headers=node.bearer)).get_json()
    code = pyotp.TOTP(setup["secret"]).at(node.clock.now())
    assert await status(node, "POST", "/api/auth/totp/verify", node.bearer, json={"code": code}) == 200
    return setup


async def test_a_password_change_is_one_transaction_with_the_end_of_the_other_sessions(node):
    for _ in range(3):
        await signed_in(node, ADA)
    db, writes = node.ctx("auth").db, []
    real = db.write

    async def counted(fn):
        writes.append(fn)
        return await real(fn)

    db.write = counted
    try:
        assert await status(node, "POST", "/api/auth/change-password", node.bearer, json=NEW) == 204
    finally:
        db.write = real
    assert len([fn for fn in writes if fn.__module__.startswith("cloudos_auth")]) == 1
    sessions = await (await node.anonymous.get("/api/auth/sessions", headers=node.bearer)).get_json()
    assert [session["current"] for session in sessions] == [True]


async def test_a_half_finished_sign_in_ends_with_the_password_that_began_it(node):
    setup = await second_factor(node)
    begun = await (await node.anonymous.post("/api/auth/login", json=ADA)).get_json()
    path = f"/api/users/{node.ada['id']}"
    assert await status(node, "PUT", path, node.root, json={"password": "set by an admin"}) == 200
    wanted = {"temp_token": begun["temp_token"], "code": setup["backup_codes"][0]}
    answer = await node.anonymous.post("/api/auth/totp/verify", json=wanted)
    assert (answer.status_code, (await answer.get_json())["error"]) == (401, "invalid_code")


async def test_one_half_finished_sign_in_becomes_one_session(node):
    setup = await second_factor(node)
    begun = await (await node.anonymous.post("/api/auth/login", json=ADA)).get_json()
    answers = await asyncio.gather(
        *(
            node.anonymous.post("/api/auth/totp/verify", json={"temp_token": begun["temp_token"], "code": code})
            for code in setup["backup_codes"][:4]
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_commit_that_fails_leaves_the_memory_as_it_was(node):
    db = node.ctx("auth").db
    real, path = db.write, f"/api/users/{node.ada['id']}"

    async def failing(fn):
        def act(session):
            fn(session)
            raise OSError("the disk is full")

        return await real(act)

    db.write = failing
    try:
        assert await status(node, "PUT", path, node.root, json={"role": "viewer"}) == 500
        assert await status(node, "POST", "/api/auth/logout", node.bearer) == 500
    finally:
        db.write = real
    assert await status(node, "GET", "/api/users", node.bearer) == 200
