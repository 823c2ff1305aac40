"""A client that is generated from /openapi.json signs in, lists, makes things, and reads every answer."""

import importlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from components.environments import WHO, serving
from contract.promises import OPEN_ENDED, SETTINGS

BINARY = ("application/zip", "application/x-zip-compressed", "application/x-ndjson")
DOWN = {501, 503}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run the host with every installed plugin as a process."""
    command = [sys.executable, "-c", "from cloudos_host.cli.main import main; main()"]
    options = ["serve", "--port", "0", "--data-dir", tmp_path_factory.mktemp("data")]
    proxy = {f"CLOUDOS_PROXY__{key.upper()}": str(value) for key, value in SETTINGS["proxy"].items()}
    with serving([*command, *options], **proxy) as server:
        server.sign_in()
        yield server


@pytest.fixture(scope="module")
def generated(server, tmp_path_factory):
    """Generate the client, without a warning; return what imports a part of it."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text(
        yaml.safe_dump({"content_type_overrides": dict.fromkeys(BINARY, "application/octet-stream")})
    )
    scripts = sysconfig.get_path("scripts")
    command = [Path(scripts) / "openapi-python-client", "generate", "--url", f"{server.url}/openapi.json"]
    options = ["--config", folder / "config.yml", "--output-path", folder / "node_client", "--meta", "none"]
    environ = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=180, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout, done.stdout
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"node_client.{name}")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def node(server, generated):
    """Sign in by the generated client; return how its functions are called."""
    client = generated("client")
    models = generated("models")
    tokens = call(generated, client.Client(server.url), "auth", "auth_login", body=models.AuthSignIn(**WHO)).parsed
    assert isinstance(tokens, models.AuthTokens)
    signed_in = client.AuthenticatedClient(server.url, token=tokens.access_token, timeout=20)
    return lambda area, name, **given: call(generated, signed_in, area, name, **given)


def call(generated, client, area, name, **given):
    return generated(f"api.{area}.{name}").sync_detailed(client=client, **given)


def test_what_is_made_is_read_by_its_model_and_listed(node, generated):
    models = generated("models")
    note = node(
        "notes", "notes_create", body=models.NotesNewNoteBody(content="Buy milk #shopping", title="List")
    ).parsed
    assert isinstance(note, models.NotesNoteOut) and note.tags == ["shopping"]
    assert [listed.id for listed in node("notes", "notes_list_notes", limit=1).parsed] == [note.id]
    assert node("notes", "notes_one_version", note_id=note.id, version=99).parsed.error == "version_not_found"
    key = node("auth", "auth_administration_create_key", body=models.AuthNewKey(name="ci", scopes=["notes:read"]))
    assert isinstance(key.parsed, models.AuthKeyCreatedOut)
    other = node("memory", "memory_create_key", body=models.MemoryNewKey(name="Claude", scopes=["read_memory"]))
    assert isinstance(other.parsed, models.MemoryKeyCreatedOut)
    assert isinstance(node("auth", "auth_administration_list_keys").parsed[0], models.AuthKeyOut)
    assert isinstance(node("memory", "memory_list_keys").parsed[0], models.MemoryKeyOut)
    assert isinstance(node("auth", "auth_sessions").parsed[0], models.AuthSessionOut)
    domain = node("proxy", "proxy_domains_add", body=models.ProxyNewDomain(domain="a.example.com", auto_ssl=False))
    assert domain.status_code in (201, *DOWN), domain.content
    assert node("proxy", "proxy_takeover_take").status_code != 400, "it needs no body"


def test_every_list_is_read(node, server, generated):
    """Call each reading operation that needs nothing: an answer that its model refuses raises."""
    described = server.request("GET", "/openapi.json")[1]["paths"]
    called = 0
    for path, item in described.items():
        operation = item.get("get")
        if operation is None or ("get", path) in OPEN_ENDED or path.startswith("/mcp"):
            continue
        if any(parameter.get("required") for parameter in operation.get("parameters", ())):
            continue
        answer = node(operation["tags"][0], operation["operationId"])
        assert answer.status_code < 300 or answer.status_code in {*DOWN, 401, 402, 502}, f"{path}: {answer.content}"
        if answer.headers.get("Content-Type", "").startswith("application/json") and path != "/openapi.json":
            assert answer.parsed is not None, path
        called += 1
    assert called > 40
