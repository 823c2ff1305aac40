"""Guessing: attempts are reserved before they are judged, and failures from elsewhere do not keep the owner out."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from cloudos_auth.login import Login
from cloudos_auth.models import Lockout
from cloudos_auth.service import Accounts
from sqlmodel import select

ADMIN = {"username": "root", "password": "a long password"}
ADA = {"username": "ada", "password": "another password"}


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    answer = await at(host, "10.0.0.1", "/api/auth/login", ADMIN)
    host.root = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    await host.anonymous.post("/api/users", json=ADA, headers=host.root)
    return host


async def at(host, address, path, body, **headers):
    client = host.app if hasattr(host, "app") else host.host.app
    return await client.test_client().post(path, json=body, headers=headers, scope_base={"client": (address, 1)})


def login(host, address, account=ADMIN, password=None):
    return at(host, address, "/api/auth/login", {**account, "password": password or account["password"]})


@pytest.fixture
def judged(node):
    """Count the passwords that are really compared, each of which takes a while."""
    passwords, seen = node.ctx("auth").use(Accounts)._passwords, []
    real = passwords.check

    async def check(password, hashed, **share):
        seen.append(password)
        result = await real(password, hashed, **share)
        await asyncio.sleep(0.05)
        return result

    passwords.check = check
    return seen


async def test_of_forty_wrong_passwords_at_once_no_more_are_judged_than_may_fail(node, judged):
    tries = [login(node, f"10.1.0.{i}", password=f"wrong {i}") for i in range(40)]
    answers = await asyncio.gather(*tries, login(node, "10.1.0.99"))
    assert [a.status_code for a in answers].count(401) == 5
    assert [a.status_code for a in answers].count(429) == 36, "the right one behind them does not get in"
    assert len(judged) == 5


async def test_right_passwords_at_once_all_get_in(node, judged):
    answers = await asyncio.gather(*(login(node, f"10.1.0.{i}") for i in range(12)))
    assert {a.status_code for a in answers} == {200}


async def test_codes_at_once_are_judged_as_few_as_may_fail(node):
    import pyotp

    answer = await login(node, "10.0.0.1")
    bearer = {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}
    setup = await (await node.anonymous.post("/api/auth/totp/enable", headers=bearer)).get_json()
    code = pyotp.TOTP(setup["secret"]).at(node.clock.now())
    await node.anonymous.post("/api/auth/totp/verify", headers=bearer, json={"code": code})
    begun = [(await (await login(node, f"10.2.0.{i}")).get_json())["temp_token"] for i in range(12)]
    factors, seen = node.ctx("auth").use(Login)._factors, []
    real = factors.use
    factors.use = lambda db, user, code: seen.append(code) or real(db, user, code)
    answers = await asyncio.gather(
        *(
            at(node, f"10.2.{j}.{i}", "/api/auth/totp/verify", {"temp_token": token, "code": f"{j}{i:05}"})
            for i, token in enumerate(begun)
            for j in range(5)
        )
    )
    assert [a.status_code for a in answers].count(401) == 5
    assert len(seen) == 5


@asynccontextmanager
async def writer_held(host):
    """Hold the database's writer: what is asked for meanwhile waits behind it."""
    go, begun = threading.Event(), threading.Event()
    task = asyncio.create_task(host.ctx("auth").db.write(lambda _: begun.set() or go.wait(10)))
    await asyncio.to_thread(begun.wait, 5)
    try:
        yield
    finally:
        go.set()
        await task


async def hung_up(node, calls):
    """Make calls whose clients have gone before the writer has come to them; wait until they are over."""
    async with writer_held(node):
        going = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0.3)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
    await idle(node)


async def idle(node):
    lockouts = node.ctx("auth").use(Login)._lockouts
    async with asyncio.timeout(5):
        while lockouts._working:
            await asyncio.sleep(0.01)


async def second_factor(node):
    import pyotp

    setup = await (await node.anonymous.post("/api/auth/totp/enable", headers=node.root)).get_json()
    node.totp = pyotp.TOTP(setup["secret"])
    body = {"code": node.totp.at(node.clock.now())}
    assert (await node.anonymous.post("/api/auth/totp/verify", headers=node.root, json=body)).status_code == 200
    return setup


async def failures(node):
    return await node.ctx("auth").db.read(lambda db: sum(row.failures for row in db.exec(select(Lockout))))


@pytest.mark.parametrize("what", ["sign-in code", "backup code", "disable", "password", "password change"])
async def test_whoever_hangs_up_is_counted_and_no_more_are_judged_than_may_fail(node, what):
    setup = await second_factor(node)
    begun = await (await login(node, "10.0.0.1")).get_json()
    paths = {
        "sign-in code": ("verify", lambda i: {"temp_token": begun["temp_token"], "code": f"00000{i}"}),
        "backup code": ("verify", lambda i: {"temp_token": begun["temp_token"], "code": f"aaaaa-bbbb{i}"}),
        "disable": ("disable", lambda i: {"password": ADMIN["password"], "code": f"00000{i}"}),
    }
    if what == "password":
        calls = [login(node, "10.0.0.1", password=f"wrong {i}") for i in range(9)]
    elif what == "password change":
        body = {"current_password": "wrong", "new_password": "the next password"}
        calls = [at(node, "10.0.0.1", "/api/auth/change-password", body, **node.root) for _ in range(9)]
    else:
        path, body = paths[what]
        calls = [at(node, "10.0.0.1", f"/api/auth/totp/{path}", body(i), **node.root) for i in range(9)]
    await hung_up(node, calls)
    assert await failures(node) == 5
    told = [event for event in await node.event_log() if event.type == "user.login_failed"]
    assert len(told) == 5
    right = {"password": ADMIN["password"], "code": setup["backup_codes"][0]}
    if what == "disable":
        answer = await at(node, "10.0.0.1", "/api/auth/totp/disable", right, **node.root)
    elif what == "password change":
        body = {"current_password": ADMIN["password"], "new_password": "the next password"}
        answer = await at(node, "10.0.0.1", "/api/auth/change-password", body, **node.root)
    else:
        answer = await login(node, "10.0.0.1")
    assert answer.status_code == 429


async def test_a_wrong_code_and_its_count_are_one_transaction(node):
    await second_factor(node)
    begun = await (await login(node, "10.0.0.1")).get_json()
    db, writes = node.ctx("auth").db, []
    real = db.write

    async def counted(fn):
        writes.append(fn)
        return await real(fn)

    db.write = counted
    try:
        wrong = {"temp_token": begun["temp_token"], "code": "000000"}
        assert (await at(node, "10.0.0.1", "/api/auth/totp/verify", wrong)).status_code == 401
    finally:
        db.write = real
    assert len([fn for fn in writes if fn.__module__.startswith("cloudos_auth")]) == 1
    assert await failures(node) == 1


async def test_a_code_that_the_database_could_not_judge_is_counted(node):
    await second_factor(node)
    begun = await (await login(node, "10.0.0.1")).get_json()
    db, real = node.ctx("auth").db, node.ctx("auth").db.write

    async def failing(fn):
        raise OSError("the disk is full")

    wrong = {"temp_token": begun["temp_token"], "code": "000000"}
    db.write = failing
    seen = [(await at(node, "10.0.0.1", "/api/auth/totp/verify", wrong)).status_code for _ in range(6)]
    db.write = real
    assert seen == [500] * 5 + [429]


async def test_failures_from_elsewhere_do_not_lock_the_owner_out_where_the_owner_signed_in(node):
    seen = [(await login(node, f"10.3.0.{i}", password="wrong")).status_code for i in range(7)]
    assert seen == [401] * 5 + [429] * 2
    assert (await login(node, "10.3.0.99")).status_code == 429, "the account is locked"
    assert (await login(node, "10.0.0.1")).status_code == 200, "and its owner gets in where they did before"
    assert (await login(node, "10.3.0.99")).status_code == 429, "which helps nobody elsewhere"
    await node.restart()
    assert (await login(node, "10.0.0.1")).status_code == 200


async def test_at_a_known_address_guesses_are_counted_too(node):
    seen = [(await login(node, "10.0.0.1", password="wrong")).status_code for _ in range(6)]
    assert seen == [401] * 5 + [429]


async def test_the_address_that_knows_one_account_is_unknown_to_another(node):
    assert (await login(node, "10.4.0.1", ADA)).status_code == 200
    for i in range(5):
        assert (await login(node, f"10.4.1.{i}", password="wrong")).status_code == 401
    assert (await login(node, "10.4.0.1")).status_code == 429


async def test_who_has_an_account_cannot_clear_the_count_of_the_address_by_it(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4, "address_failures": 6}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    assert (await login(host, "10.5.0.1")).status_code == 200
    seen = []
    for i in range(7):
        seen.append((await login(host, "10.5.0.1", {"username": f"user{i}", "password": "wrong"})).status_code)
        if i < 5:
            assert (await login(host, "10.5.0.1")).status_code == 200
    assert seen == [401] * 6 + [429]


async def test_the_typos_of_who_then_gets_in_are_forgiven(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4, "address_failures": 6}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    for _ in range(3):
        for _ in range(4):
            assert (await login(host, "10.0.0.1", password="typo")).status_code == 401
        assert (await login(host, "10.0.0.1")).status_code == 200


async def test_a_network_of_ipv6_is_one_address(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4, "address_failures": 6}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    accounts = [{"username": f"user{i}", "password": "wrong"} for i in range(9)]
    seen = [(await login(host, f"2001:db8:1:2::{i + 1:x}", accounts[i])).status_code for i in range(8)]
    assert seen == [401] * 6 + [429] * 2
    assert (await login(host, "2001:db8:1:3::1", accounts[8])).status_code == 401


async def test_what_the_database_could_not_count_is_counted(node):
    db, real = node.ctx("auth").db, node.ctx("auth").db.write

    async def failing(fn):
        raise OSError("the disk is full")

    db.write = failing
    seen = [(await login(node, f"10.6.0.{i}", password="wrong")).status_code for i in range(6)]
    db.write = real
    assert seen == [500] * 5 + [429]


async def test_guesses_of_the_current_password_are_counted(node):
    body = {"current_password": "wrong", "new_password": "the next password"}
    seen = [(await at(node, "10.0.0.1", "/api/auth/change-password", body, **node.root)).status_code for _ in range(6)]
    assert seen == [401] * 5 + [429]


async def test_typos_before_a_password_change_are_forgiven_by_it(node):
    passwords = [ADMIN["password"], "the next password", "the one after it"]
    for now, then in pairwise(passwords):
        for given, status in (("typo", 401), ("typo", 401), ("typo", 401), (now, 204)):
            body = {"current_password": given, "new_password": then}
            assert (await at(node, "10.0.0.1", "/api/auth/change-password", body, **node.root)).status_code == status


async def test_a_crowd_of_addresses_keeps_nobody_out_who_is_known_and_no_newcomer_for_long(node):
    passwords = node.ctx("auth").use(Accounts)._passwords
    real, order = passwords._check, []

    def slow(password, hashed):
        time.sleep(0.02)
        order.append(password)
        return real(password, hashed)

    passwords._check = slow
    crowd = [
        asyncio.create_task(login(node, f"10.7.{i}.1", {"username": f"u{i}-{j}", "password": f"crowd {i}"}))
        for i in range(10)
        for j in range(12)
    ]
    await asyncio.sleep(0.1)
    newcomer = asyncio.create_task(login(node, "10.8.0.1", ADA))
    known = asyncio.create_task(login(node, "10.0.0.1"))
    assert [a.status_code for a in await asyncio.gather(known, newcomer)] == [200, 200]
    before = {name: order.index(account["password"]) for name, account in (("known", ADMIN), ("newcomer", ADA))}
    assert before["known"] < 20 and before["newcomer"] < 40, f"{before} of {len(crowd)} that were there before"
    await asyncio.gather(*crowd)


async def test_who_leaves_while_waiting_or_at_work_leaves_the_turns_in_order(node):
    for _ in range(3):
        going = [asyncio.create_task(login(node, f"10.9.0.{i}", password="wrong")) for i in range(4)]
        await asyncio.sleep(0.002)
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)
    async with asyncio.timeout(5):
        assert (await login(node, "10.0.0.1")).status_code == 200
    turns = node.ctx("auth").use(Accounts)._passwords._turns
    async with asyncio.timeout(5):
        while turns._free < 2 or turns._others or turns._known:
            await asyncio.sleep(0.01)
