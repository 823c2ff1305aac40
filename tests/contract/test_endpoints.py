"""Every endpoint of the reference that an installed plugin owns is there."""

import re

import pytest
from contract.promises import all_plugins, check_error, endpoints, installed, sign_in

MISSING = {"not_found", "feature_not_installed", "method_not_allowed"}


def concrete(path):
    return path.replace("{", "none_").replace("}", "")


def shape(path):
    """Return a path whose parameters have no names."""
    return re.sub(r"\{[^}]*\}", "{}", path)


@pytest.mark.parametrize("owner", ["host", *installed()])
async def test_each_endpoint_of_the_reference_answers_an_admin(cloudos, owner):
    host, head = await all_plugins(cloudos)
    for row in (row for row in endpoints() if row["owner"] == owner and row["access"] != "bearer"):
        where = f"{row['method']} {row['path']}"
        body = {"json": {}} if row["method"] in ("POST", "PUT") else {}
        answer = await host.anonymous.request(row["method"], concrete(row["path"]), headers=head, **body)
        if answer.status_code >= 400:
            problem = await answer.get_json()
            check_error(answer.status_code, answer.content_type, problem, where=where)
            assert problem["error"] not in MISSING, f"{where} is not there"
            assert answer.status_code not in (401, 403, 500), f"{where}: {problem}"
            if "{" not in row["path"]:
                assert answer.status_code in (400, 402, 409, 429, 503), f"{where}: {problem}"


@pytest.mark.parametrize("owner", ["host", *installed()])
async def test_each_endpoint_that_is_not_public_asks_for_a_sign_in(cloudos, owner):
    host, _ = await all_plugins(cloudos)
    for row in (row for row in endpoints() if row["owner"] == owner):
        where = f"{row['method']} {row['path']}"
        body = {"json": {}} if row["method"] in ("POST", "PUT") else {}
        answer = await host.anonymous.request(row["method"], concrete(row["path"]), **body)
        if row["access"] != "public":
            assert answer.status_code == 401, where
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            check_error(401, answer.content_type, await answer.get_json(), where=where)
        elif answer.status_code == 401:
            assert (await answer.get_json())["error"] != "unauthenticated", f"{where} is public"


async def test_every_plugin_runs_and_the_host_is_ready(cloudos):
    host, head = await all_plugins(cloudos)
    listed = await (await host.anonymous.get("/api/plugins", headers=head)).get_json()
    assert {p["id"]: p["state"] for p in listed} == dict.fromkeys(installed(), "running")
    assert (await host.anonymous.get("/api/ready")).status_code == 200


async def test_every_route_is_in_the_description_of_the_api(cloudos):
    host, _ = await all_plugins(cloudos)
    document = await (await host.anonymous.get("/openapi.json")).get_json()
    described = {(method.upper(), shape(path)) for path, item in document["paths"].items() for method in item}
    for row in (row for row in endpoints() if row["access"] != "bearer"):  # a protocol of its own, served by a mount
        assert (row["method"], shape(row["path"])) in described, f"{row['method']} {row['path']} is not described"


async def test_a_viewer_changes_nothing(cloudos):
    host, head = await all_plugins(cloudos)
    person = {"username": "eyes", "password": "only for looking", "role": "viewer"}
    made = await host.anonymous.post("/api/users", json=person, headers=head)
    if made.status_code == 404:
        pytest.fail("there is no way to make a viewer: POST /api/users is missing")
    assert made.status_code == 201
    login = await host.anonymous.post("/api/auth/login", json={k: person[k] for k in ("username", "password")})
    viewer = {"Authorization": f"Bearer {(await login.get_json())['access_token']}"}
    own = {"/api/auth/", "/api/molly/memory/recall"}  # a question, for which it is a POST
    for row in endpoints():
        if row["method"] == "GET" or any(row["path"].startswith(area) for area in own) or row["access"] == "public":
            continue
        answer = await host.anonymous.request(row["method"], concrete(row["path"]), headers=viewer, json={})
        refused = 401 if row["access"] == "bearer" else 403
        assert answer.status_code == refused, f"{row['method']} {row['path']} lets a viewer in: {answer.status_code}"
    assert (await host.anonymous.get("/api/plugins", headers=await sign_in(host))).status_code == 200
