"""/openapi.json says what the gate asks, what an answer is made of, and each name once."""

import re

import pytest
from contract.promises import SETTINGS, installed


@pytest.fixture
async def document(cloudos):
    host = await cloudos(*installed(), settings=SETTINGS)
    return await (await host.anonymous.get("/openapi.json")).get_json()


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


async def test_every_operation_describes_a_success_and_every_error_that_its_kind_may_answer(document):
    for (method, path), operation in operations(document).items():
        statuses = set(operation["responses"])
        assert "default" not in statuses, f"{method} {path} documents no success"
        assert {"400", "500", "503"} <= statuses, f"{method} {path}: {statuses}"
        if operation["security"]:
            assert {"401", "403"} <= statuses, f"{method} {path}: {statuses}"
        if "{" in path:
            assert "404" in statuses, f"{method} {path}: {statuses}"
        if method != "get":
            assert {"409", "413", "415"} <= statuses, f"{method} {path}: {statuses}"


async def test_names_are_given_once(document):
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    schemas = document["components"]["schemas"]
    assert schemas["auth.KeyOut"] != schemas["memory.KeyOut"]
    assert schemas["auth.SessionOut"] != schemas["memory.SessionOut"]
    answer = document["paths"]["/api/mcp/keys"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["items"] == {"$ref": "#/components/schemas/memory.KeyOut"}
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert named == set(schemas), "what is named is there, and what is there is named"


async def test_the_marks_of_the_gate_are_what_one_must_bring(document):
    found = operations(document)
    assert found["get", "/api/health"]["security"] == []
    assert found["post", "/api/apps"]["security"] == [
        {"session": ["apps:write"]},
        {"apiKey": ["apps:write"]},
        {"cookie": ["apps:write"], "csrf": []},
    ]
    assert found["post", "/api/auth/logout"]["security"] == [{"session": []}, {"cookie": [], "csrf": []}]
    assert found["post", "/mcp"]["security"] == [{"memoryKey": []}]
    used = {name for operation in found.values() for need in operation["security"] for name in need}
    assert used == set(document["components"]["securitySchemes"])
    assert "402" in found["get", "/api/notes/graph"]["responses"]
    assert "429" in found["post", "/api/auth/login"]["responses"]


async def test_paths_parameters_and_bodies_are_what_the_code_asks_for(document):
    found = operations(document)
    version = found["get", "/api/notes/{note_id}/versions/{version}"]
    assert [(p["name"], p["schema"]["type"]) for p in version["parameters"]] == [
        ("note_id", "string"),
        ("version", "integer"),
    ]
    for (method, path), operation in found.items():
        placed = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"]
        assert re.findall(r"{(\w+)}", path) == placed, f"{method} {path}"
    layout = {p["name"]: p["required"] for p in found["get", "/api/profile/dashboard"]["parameters"]}
    assert layout == {"type": True}
    assert found["post", "/api/apps"]["requestBody"]["required"] is True
    assert found["post", "/api/settings/proxy/takeover"]["requestBody"]["required"] is False
    assert set(found["post", "/api/notes/import"]["requestBody"]["content"]) >= {"application/zip"}
    limit = next(p for p in found["get", "/api/notes"]["parameters"] if p["name"] == "before")
    assert (limit["required"], limit["schema"]) == (False, {"type": "string"})
