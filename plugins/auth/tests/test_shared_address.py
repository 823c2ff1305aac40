"""Crowds: neither strangers elsewhere nor those at the same address keep anybody out who is known there."""

import asyncio

import pytest
from cloudos_auth.bcrypt_queue import BcryptQueue
from cloudos_auth.rates import RateLimit
from cloudos_auth.service import Accounts
from cloudos_sdk import TooManyRequests

ADMIN = {"username": "root", "password": "a long password"}
ADA = {"username": "ada", "password": "another password"}
NAT = "10.0.0.1"


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ADMIN)
    host.tokens = await (await at(host, NAT, "/api/auth/login", ADMIN)).get_json()
    host.root = {"Authorization": f"Bearer {host.tokens['access_token']}"}
    await host.anonymous.post("/api/users", json=ADA, headers=host.root)
    assert (await at(host, NAT, "/api/auth/login", ADA)).status_code == 200
    return host


async def at(host, address, path, body, **headers):
    client = host.host.app.test_client()
    return await client.post(path, json=body, headers=headers, scope_base={"client": (address, 1)})


async def statuses(calls):
    return [(await call).status_code for call in calls]


async def test_a_thousand_that_wait_keep_out_neither_known_addresses_nor_those_who_are_signed_in(node):
    turns = node.ctx("auth").use(Accounts)._passwords._turns
    held = [asyncio.create_task(turns.take("nobody", known=True)) for _ in range(2)]
    await asyncio.gather(*held)

    async def guess(address):
        await turns.take(address)
        turns.give_back()

    crowd = [asyncio.create_task(guess(f"10.7.{i}.1")) for i in range(50) for _ in range(20)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await turns.take("10.8.0.1")
    new = {"current_password": ADMIN["password"], "new_password": "the next password"}
    known = asyncio.create_task(at(node, NAT, "/api/auth/login", ADA))
    elsewhere = asyncio.create_task(at(node, "10.9.9.9", "/api/auth/change-password", new, **node.root))
    account = {"username": "eve", "password": "a password of hers"}
    made = asyncio.create_task(at(node, "10.9.9.9", "/api/users", account, **node.root))
    await asyncio.sleep(0.1)
    for _ in held:
        turns.give_back()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(known, elsewhere, made)
    assert [a.status_code for a in answers] == [200, 204, 201]
    await asyncio.gather(*crowd)


async def test_a_refusal_leaves_the_turns_in_order():
    turns = BcryptQueue(1)
    await turns.take("a")
    waiting = [asyncio.create_task(turns.take(f"{i}")) for i in range(1000)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await turns.take("one too many")
    for _ in range(1001):
        turns.give_back()
    await asyncio.gather(*waiting)
    assert turns._free == 1


async def test_who_is_known_at_an_address_is_not_locked_out_by_others_there(node):
    for i in range(25):
        await at(node, NAT, "/api/auth/login", {"username": f"foreign{i}", "password": "wrong"})
    newcomer = {"username": "foreign99", "password": "wrong"}
    assert (await at(node, NAT, "/api/auth/login", newcomer)).status_code == 429, "the address is locked"
    assert await statuses([at(node, NAT, "/api/auth/login", ADA), at(node, NAT, "/api/auth/login", ADMIN)]) == [200] * 2
    assert (await at(node, NAT, "/api/auth/login", newcomer)).status_code == 429, "which clears nothing of it"
    await node.restart()
    assert (await at(node, NAT, "/api/auth/login", ADA)).status_code == 200


async def test_who_is_known_is_judged_by_their_own_failures_there(node):
    wrong = {**ADA, "password": "wrong"}
    assert await statuses(at(node, NAT, "/api/auth/login", wrong) for _ in range(6)) == [401] * 5 + [429]
    assert (await at(node, NAT, "/api/auth/login", ADA)).status_code == 429
    assert (await at(node, NAT, "/api/auth/login", ADMIN)).status_code == 200


async def test_many_calls_from_an_address_leave_those_who_are_known_their_own(node):
    for _ in range(45):
        await at(node, NAT, "/api/auth/login", {"username": "nobody", "password": "wrong"})
        await node.clock.advance(0.1)
    assert (await at(node, NAT, "/api/auth/login", ADA)).status_code == 200
    seen = await statuses(at(node, NAT, "/api/auth/login", ADA) for _ in range(45))
    assert 429 in seen and set(seen) == {200, 429}, "each of whom has a share"


async def test_a_rate_forgets_those_who_have_not_asked_for_a_while(node):
    rate = RateLimit(node.clock, 2, 60.0)
    for i in range(1000):
        rate.hit(f"{i}")
        await node.clock.advance(1)
    assert len(rate._times) <= 61
    rate.hit("999")
    with pytest.raises(TooManyRequests) as refused:
        rate.hit("999")
    assert refused.value.retry_after == 59
    await node.clock.advance(59)
    rate.hit("999")


async def test_junk_keeps_nobody_behind_the_same_address_from_refreshing(node):
    junk = {"refresh_token": "junk"}
    assert await statuses(at(node, NAT, "/api/auth/refresh", junk) for _ in range(62)) == [401] * 60 + [429] * 2
    by_cookie = {"Cookie": "cloudos_refresh=junk", "X-CSRF-Token": "junk"}
    assert (await at(node, NAT, "/api/auth/refresh", {}, **by_cookie)).status_code == 429
    good = {"refresh_token": node.tokens["refresh_token"]}
    assert (await at(node, NAT, "/api/auth/refresh", good)).status_code == 200
    assert (await at(node, "10.0.0.2", "/api/auth/refresh", junk)).status_code == 401
    await node.clock.advance(61)
    assert (await at(node, NAT, "/api/auth/refresh", junk)).status_code == 401
