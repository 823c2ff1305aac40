"""API keys and users: what a change takes away is gone on the next request."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ACCOUNT = {"username": "admin", "password": "a long password"}


@pytest.fixture
async def node(cloudos):
    host = await cloudos("auth", settings={"auth": {"bcrypt_cost": 4}})
    await host.anonymous.post("/api/auth/setup", json=ACCOUNT)
    host.bearer = await sign_in(host, **ACCOUNT)
    return host


async def sign_in(host, username, password):
    answer = await host.anonymous.post("/api/auth/login", json={"username": username, "password": password})
    assert answer.status_code == 200, await answer.get_json()
    return {"Authorization": f"Bearer {(await answer.get_json())['access_token']}"}


async def call(host, method, path, bearer=None, **kwargs):
    answer = await host.anonymous.request(method, path, headers=bearer or host.bearer, **kwargs)
    return answer.status_code, (await answer.get_json() if answer.status_code != 204 else None)


async def made_user(host, role="operator", username="ada"):
    account = {"username": username, "password": "another password", "role": role}
    status, user = await call(host, "POST", "/api/users", json=account)
    assert status == 201
    return user, await sign_in(host, username, "another password")


async def test_a_key_is_shown_once_and_does_what_its_scopes_say(node):
    status, key = await call(node, "POST", "/api/keys", json={"name": "ci", "scopes": ["users:read"]})
    assert status == 201
    assert key["key"].startswith("qzr_")
    bearer = {"Authorization": f"Bearer {key['key']}"}
    assert (await call(node, "GET", "/api/users", bearer))[0] == 200
    assert (await call(node, "GET", "/api/keys", bearer))[0] == 403
    assert (await call(node, "GET", "/api/auth/sessions", bearer))[1]["error"] == "person_required"
    _, listed = await call(node, "GET", "/api/keys")
    assert "key" not in listed[0]
    assert listed[0]["last_used_at"] is not None

    assert (await call(node, "DELETE", f"/api/keys/{key['id']}"))[0] == 204
    assert (await call(node, "GET", "/api/users", bearer))[1]["error"] == "key_invalid"
    assert (await call(node, "DELETE", f"/api/keys/{key['id']}"))[1]["error"] == "key_not_found"


async def test_an_expired_key_and_an_unknown_scope_are_named(node):
    status, error = await call(node, "POST", "/api/keys", json={"name": "ci", "scopes": ["user:read"]})
    assert (status, error["fields"][0]["path"]) == (400, "scopes")
    assert "did you mean users:read" in error["message"]
    wanted = {"name": "ci", "scopes": ["users:read"], "expires_at": "2026-01-02T00:00:00Z"}
    _, key = await call(node, "POST", "/api/keys", json=wanted)
    bearer = {"Authorization": f"Bearer {key['key']}"}
    assert (await call(node, "GET", "/api/users", bearer))[0] == 200
    await node.clock.advance(86401)
    answer = await node.anonymous.get("/api/users", headers=bearer)
    assert (await answer.get_json())["error"] == "key_expired"


async def test_a_key_outlives_a_restart_and_a_key_makes_no_keys(node):
    _, key = await call(node, "POST", "/api/keys", json={"name": "all", "scopes": ["keys:write"]})
    await node.restart()
    bearer = {"Authorization": f"Bearer {key['key']}"}
    assert (await call(node, "GET", "/api/keys", bearer))[0] == 200
    status, error = await call(node, "POST", "/api/keys", bearer, json={"name": "x", "scopes": ["users:write"]})
    assert (status, error["error"]) == (403, "person_required")


async def test_a_key_gives_nobody_more_than_it_has(node):
    user, _ = await made_user(node)
    _, key = await call(node, "POST", "/api/keys", json={"name": "people", "scopes": ["users:write"]})
    bearer = {"Authorization": f"Bearer {key['key']}"}
    _, me = await call(node, "GET", "/api/auth/me")
    viewer = {"username": "eve", "password": "another password", "role": "viewer"}
    refused = [
        ("POST", "/api/users", {**viewer, "role": "admin"}),
        ("POST", "/api/users", {**viewer, "role": "operator"}),
        ("PUT", f"/api/users/{user['id']}", {"role": "admin"}),
        ("PUT", f"/api/users/{user['id']}", {"password": "set by the key"}),
        ("PUT", f"/api/users/{me['id']}", {"password": "set by the key"}),
        ("PUT", f"/api/users/{me['id']}", {"reset_totp": True}),
        ("DELETE", f"/api/users/{user['id']}", None),
    ]
    for method, path, body in refused:
        status, error = await call(node, method, path, bearer, json=body)
        assert (status, error["error"]) == (403, "person_required"), (method, body)
    status, made = await call(node, "POST", "/api/users", bearer, json=viewer)
    assert (status, made["role"], made["disabled"]) == (201, "viewer", True)
    status, error = await call(node, "PUT", f"/api/users/{made['id']}", bearer, json={"role": "operator"})
    assert (status, error["error"]) == (403, "person_required")
    for body in ({"password": "set by the key"}, {"reset_totp": True}, {"disabled": False}):
        status, error = await call(node, "PUT", f"/api/users/{made['id']}", bearer, json=body)
        assert (status, error["error"]) == (403, "person_required"), "whoever is there already is not a key's to become"
    assert (await call(node, "PUT", f"/api/users/{made['id']}", bearer, json={"disabled": True}))[0] == 200
    assert (await call(node, "DELETE", f"/api/users/{made['id']}", bearer))[0] == 204


async def test_whom_a_key_made_signs_in_once_a_person_says_so(node):
    _, key = await call(node, "POST", "/api/keys", json={"name": "people", "scopes": ["users:write"]})
    bearer = {"Authorization": f"Bearer {key['key']}"}
    viewer = {"username": "eve", "password": "another password", "role": "viewer"}
    _, made = await call(node, "POST", "/api/users", bearer, json=viewer)
    login = {"username": "eve", "password": "another password"}
    assert (await node.anonymous.post("/api/auth/login", json=login)).status_code == 401
    assert (await call(node, "PUT", f"/api/users/{made['id']}", bearer, json={"disabled": False}))[0] == 403
    assert (await node.anonymous.post("/api/auth/login", json=login)).status_code == 401
    assert (await call(node, "PUT", f"/api/users/{made['id']}", json={"disabled": False}))[0] == 200
    assert (await call(node, "GET", "/api/auth/me", await sign_in(node, **login)))[1]["role"] == "viewer"


async def test_a_demoted_user_sees_and_revokes_the_keys_left_from_before_and_no_others(node):
    user, bearer = await made_user(node, "admin")
    _, mine = await call(node, "POST", "/api/keys", bearer, json={"name": "mine", "scopes": ["users:read"]})
    _, other = await call(node, "POST", "/api/keys", json={"name": "other", "scopes": ["users:read"]})
    await call(node, "PUT", f"/api/users/{user['id']}", json={"role": "viewer"})
    status, listed = await call(node, "GET", "/api/keys", bearer)
    assert (status, [key["name"] for key in listed]) == (200, ["mine"])
    assert (await call(node, "DELETE", f"/api/keys/{other['id']}", bearer))[1]["error"] == "key_not_found"
    assert (await call(node, "DELETE", f"/api/keys/{mine['id']}", bearer))[0] == 204
    assert (await call(node, "GET", "/api/keys", bearer))[0] == 403


async def test_a_demotion_holds_on_the_next_request(node):
    user, bearer = await made_user(node, "admin")
    _, key = await call(node, "POST", "/api/keys", bearer, json={"name": "k", "scopes": ["users:read"]})
    by_key = {"Authorization": f"Bearer {key['key']}"}
    assert (await call(node, "GET", "/api/users", bearer))[0] == 200
    assert (await call(node, "GET", "/api/users", by_key))[0] == 200
    assert (await call(node, "PUT", f"/api/users/{user['id']}", json={"role": "viewer"}))[0] == 200
    assert (await call(node, "GET", "/api/users", bearer))[0] == 403
    assert (await call(node, "GET", "/api/users", by_key))[0] == 403
    assert (await call(node, "GET", "/api/auth/me", bearer))[1]["role"] == "viewer"


async def test_a_disabled_or_deleted_user_is_out_at_once(node):
    user, bearer = await made_user(node)
    assert (await call(node, "PUT", f"/api/users/{user['id']}", json={"disabled": True}))[0] == 200
    assert (await call(node, "GET", "/api/auth/me", bearer))[0] == 401
    refused = await node.anonymous.post("/api/auth/login", json={"username": "ada", "password": "another password"})
    assert refused.status_code == 401
    await call(node, "PUT", f"/api/users/{user['id']}", json={"disabled": False})
    bearer = await sign_in(node, "ada", "another password")
    assert (await call(node, "DELETE", f"/api/users/{user['id']}"))[0] == 204
    assert (await call(node, "GET", "/api/auth/me", bearer))[0] == 401


async def test_the_last_admin_stays(node):
    _, me = await call(node, "GET", "/api/auth/me")
    for method, json in (("DELETE", None), ("PUT", {"role": "viewer"}), ("PUT", {"disabled": True})):
        status, error = await call(node, method, f"/api/users/{me['id']}", json=json)
        assert (status, error["error"]) == (409, "last_admin")
    others = [await made_user(node, "admin", name) for name in ("ada", "bob")]
    ids = [me["id"], *(user["id"] for user, _ in others)]
    results = await asyncio.gather(*(call(node, "PUT", f"/api/users/{i}", json={"role": "viewer"}) for i in ids))
    assert sum(status == 200 for status, _ in results) <= 2


async def test_only_admins_touch_users_and_keys(node):
    _, bearer = await made_user(node)
    for method, path in (("GET", "/api/users"), ("POST", "/api/users"), ("GET", "/api/keys"), ("POST", "/api/keys")):
        assert (await call(node, method, path, bearer, json={}))[0] == 403


async def test_a_taken_name_is_refused(node):
    await made_user(node)
    account = {"username": "ada", "password": "another password"}
    status, error = await call(node, "POST", "/api/users", json=account)
    assert (status, error["error"]) == (409, "username_taken")


async def test_the_lock_out_grows_is_the_same_for_unknown_names_and_ends(node):
    for name in ("admin", "nobody"):
        seen = []
        for _ in range(6):
            answer = await node.anonymous.post("/api/auth/login", json={"username": name, "password": "wrong"})
            seen.append(answer.status_code)
        assert seen == [401] * 5 + [429]
        await node.clock.advance(61)
    await node.clock.advance(900)
    wait = 0
    for _ in range(3):
        wrong = await node.anonymous.post("/api/auth/login", json={"username": "admin", "password": "wrong"})
        assert wrong.status_code == 401
        locked = await node.anonymous.post("/api/auth/login", json=ACCOUNT)
        assert locked.status_code == 429
        assert int(locked.headers["Retry-After"]) > wait
        wait = int(locked.headers["Retry-After"])
        await node.clock.advance(max(wait, 61))
    await node.restart()
    await sign_in(node, **ACCOUNT)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=200))
async def test_no_authorization_header_does_more_than_be_refused(node, header):
    answer = await node.anonymous.get("/api/auth/me", headers={"Authorization": header})
    assert answer.status_code == 401


async def test_tables_are_those_of_the_models(node):
    assert node.schema_differences("auth") == []
