"""Every error has the contract's shape, however strange the request."""

import json
import re

import pytest
from contract.promises import all_plugins, check_error, installed

JSON = {"Content-Type": "application/json"}
BIG = b'{"username": "' + b"x" * 10_000_000 + b'"}'
CLIMBS = [
    "/../etc/passwd",
    "/api/../../etc/passwd",
    "/api/apps/../../../etc/passwd",
    "/api/apps/..%2f..%2f..%2fetc%2fpasswd",
    "/api/templates/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/api/templates/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/api/templates/..%5c..%5cetc",
    "/api/operations/%00",
    "//etc/passwd",
]


@pytest.fixture
async def ask(cloudos):
    host, head = await all_plugins(cloudos)

    async def ask(method, path, status, *, headers=None, signed_in=True, **kwargs):
        given = {**(head if signed_in else {}), **(headers or {})}
        answer = await host.anonymous.request(method, path, headers=given, **kwargs)
        body = await answer.get_json(force=True, silent=True)
        where = f"{method} {path[:60]}"
        check_error(answer.status_code, answer.content_type, body, where=where)
        assert answer.status_code == status, f"{where}: {answer.status_code} {body}"
        return body

    return ask


@pytest.mark.parametrize("body", [b"{", b"", b"nul", b"\xff\xfe", b"[" * 100_000, b'{"username": NaN}', b"{'a': 1}"])
async def test_json_that_is_not_json(ask, body):
    problem = await ask("POST", "/api/auth/login", 400, data=body, headers=JSON, signed_in=False)
    assert problem["error"] == "invalid_request"


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"3", b"true"])
async def test_json_of_another_kind(ask, body):
    await ask("POST", "/api/auth/login", 400, data=body, headers=JSON, signed_in=False)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
async def test_another_media_type_is_415(ask, kind):
    problem = await ask("POST", "/api/auth/login", 415, data=b"x=1", headers={"Content-Type": kind}, signed_in=False)
    assert problem["error"] == "unsupported_media_type"


@pytest.fixture
async def node(cloudos):
    return await all_plugins(cloudos)


DEEP = b'{"a": ' * 5 + b"[" * 300 + b"]" * 300 + b"}" * 5
MANY = b"{" + b",".join(b'"a%d":%d' % (n, n) for n in range(30_000)) + b"}"
WIDE = b'{"' + b"k" * 500_000 + b'": [' + b"9" * 5000 + b"]}"


@pytest.mark.parametrize("body", [DEEP, MANY, WIDE], ids=["deep", "many", "wide"])
async def test_a_costly_body_is_a_short_400_wherever_json_is_taken(node, body):
    host, head = node
    tried = 0
    for rule in host.host.app.url_map.iter_rules():
        endpoint = host.host.gate.endpoints.get(rule.endpoint)
        if endpoint is None or endpoint.policy.media_types != ("application/json",):
            continue
        for method in rule.methods & {"POST", "PUT", "PATCH"}:
            view = host.host.app.view_functions[rule.endpoint]
            if not hasattr(view, "_quart_schema_request_schema"):
                continue
            path = re.sub("<[^>]+>", "x", rule.rule)
            answer = await host.anonymous.request(method, path, data=body, headers={**head, **JSON})
            said = await answer.get_data()
            assert answer.status_code in (400, 401, 402, 403, 404, 429, 503), f"{method} {path}: {answer.status_code}"
            assert len(said) < 20_000, f"{method} {path}"
            tried += answer.status_code == 400
    assert tried > 20


async def test_a_body_of_10_mb_is_413(ask):
    problem = await ask("POST", "/api/auth/login", 413, data=BIG, headers=JSON, signed_in=False)
    assert problem["error"] == "body_too_large"
    if "apps" in installed():
        await ask("POST", "/api/apps", 413, data=BIG, headers=JSON)


async def test_unknown_paths_are_404(ask):
    assert (await ask("GET", "/nothing", 404))["error"] == "not_found"
    assert (await ask("GET", "/api/auth/nothing", 404))["error"] == "not_found"
    assert (await ask("GET", "/api/no-such-area", 404))["error"] == "feature_not_installed"
    await ask("POST", "/api/no-such-area", 404, json={})


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/auth/me"), ("GET", "/api/auth/login"), ("PATCH", "/api/plugins"), ("POST", "/api/health")],
)
async def test_a_wrong_method_is_405(ask, method, path):
    assert (await ask(method, path, 405))["error"] == "method_not_allowed"


@pytest.mark.parametrize("path", CLIMBS)
async def test_a_path_that_climbs_leads_nowhere(ask, path):
    problem = await ask("GET", path, 404)
    assert "root:" not in str(problem)


async def test_an_unknown_member_and_an_unknown_parameter_are_named(ask):
    body = {"username": "a", "password": "b", "remember": True}
    problem = await ask("POST", "/api/auth/login", 400, json=body, signed_in=False)
    assert [field["path"] for field in problem["fields"]] == ["remember"]
    problem = await ask("GET", "/api/operations?limt=3", 400)
    assert [field["path"] for field in problem["fields"]] == ["limt"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=many", "limit=-1", "limit=1e3", "limit="])
async def test_a_limit_out_of_bounds_is_named(ask, query):
    problem = await ask("GET", f"/api/operations?{query}", 400)
    assert [field["path"] for field in problem["fields"]] == ["limit"]


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\N{SNOWMAN}" * 64, "a" * 300, "'; DROP TABLE auth_user; --"])
async def test_strange_text_in_a_body_is_refused_and_breaks_nothing(ask, text):
    data = json.dumps({"username": text, "password": "whatever it is"}).encode()
    await ask("POST", "/api/auth/setup", 400, data=data, headers=JSON, signed_in=False)
