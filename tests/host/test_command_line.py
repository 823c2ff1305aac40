"""`cloudos` from a shell: what an operator types, against a real data folder and a real server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cloudos_sdk.testing import fixtures

CLOUDOS = Path(sys.executable).with_name("cloudos")


def run(*arguments, **environment):
    done = subprocess.run(
        [CLOUDOS, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def own_database(monkeypatch):
    """Give a test's nodes an empty database where the tests run on a server: another folder's refuses them."""
    server = os.environ.get("CLOUDOS_HOST__DATABASE_URL")
    url = fixtures._fresh_database(server) if server is not None else None
    if url is not None:
        monkeypatch.setenv("CLOUDOS_HOST__DATABASE_URL", url)
    yield
    if url is not None:
        fixtures._drop_database(server, url)


@pytest.fixture
def served(tmp_path):
    """Start `cloudos serve` and return its folder and address; it must end by itself on SIGTERM."""
    data = tmp_path / "data"
    process = subprocess.Popen([CLOUDOS, "serve", "--port", "0", "--data-dir", data], stderr=subprocess.PIPE, text=True)
    address = ""
    for line in process.stderr:
        if "serving on" in line:
            address = line.split()[-1]
            break
    assert address, process.poll()
    yield data, address
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


def test_doctor_and_database_status_look_at_a_node_while_it_runs(served):
    data, _ = served
    code, out, err = run("doctor", "--data-dir", str(data))
    assert "ok   auth: cloudos-auth" in out
    assert "ok   host: running" in out
    assert err == ""
    assert code == (1 if "FAIL" in out else 0)

    code, out, _ = run("db", "status", "--data-dir", str(data))
    assert code == 0
    assert all(line.endswith("up to date") for line in out.splitlines())

    code, _, err = run("db", "upgrade", "--data-dir", str(data))
    assert (code, err) == (1, f"cloudos: another host uses {data}; stop it first\n")


def test_a_missing_node_and_a_misspelt_setting_are_one_line(tmp_path):
    code, _, err = run("user", "--data-dir", str(tmp_path), "list")
    assert code == 1
    assert err.count("\n") == 1
    assert "holds no node" in err
    code, _, err = run("serve", "--data-dir", str(tmp_path), CLOUDOS_HOST__PROT="1")
    assert (code, err) == (1, "cloudos: the environment: [host] has no key 'prot'; did you mean 'port'?\n")


def test_openapi_is_printed_without_a_node(tmp_path):
    code, out, _ = run("openapi", "--data-dir", str(tmp_path / "none"))
    document = json.loads(out)
    assert code == 0
    assert "/api/auth/login" in document["paths"]
    assert not (tmp_path / "none").exists()


def test_the_tables_are_upgraded_before_the_first_start(tmp_path):
    assert run("db", "upgrade", "--data-dir", str(tmp_path))[0] == 0
    code, out, _ = run("db", "status", "--data-dir", str(tmp_path))
    assert code == 0
    assert "to come" not in out


async def test_the_api_page_loads_nothing_from_elsewhere(cloudos):
    host = await cloudos()
    page = await host.anonymous.get("/api/docs")
    text = await page.get_data(as_text=True)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    for name in ("/api/docs/docs.js", "/api/docs/docs.css"):
        assert name in text
        assert (await host.anonymous.get(name)).status_code == 200
    assert "//" not in text.replace("<!doctype", "")
    await asyncio.sleep(0)


def test_a_plugin_that_was_blamed_for_crashes_is_enabled_again(tmp_path):
    (tmp_path / "boot.json").write_text('{"deaths": {"auth": 2}, "died_at": {"auth": "2026-01-01T00:00:00+00:00"}}')
    code, out, _ = run("plugins", "enable", "auth", "--data-dir", str(tmp_path))
    assert (code, out) == (0, "auth is tried again at the next start\n")
    code, out, _ = run("plugins", "enable", "auth", "--data-dir", str(tmp_path))
    assert (code, out) == (0, "auth is not disabled\n")
    code, _, err = run("plugins", "enable", "atuh", "--data-dir", str(tmp_path))
    assert code == 1
    assert "no plugin 'atuh'" in err
    assert "cloudos-auth" in run("plugins")[1]


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("db", "status"), ("db", "upgrade"), ("user", "list")])
def test_a_database_that_is_away_is_one_line(tmp_path, command):
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    place = ("--data-dir", str(tmp_path))
    arguments = (command[0], *place, *command[1:]) if command[0] == "user" else (*command, *place)
    code, _, err = run(*arguments, CLOUDOS_HOST__DATABASE_URL=url)
    assert (code, err.count("\n")) == (1, 1), err
    assert "database cannot be reached" in err


@pytest.mark.parametrize(
    "before",
    [
        ["user", "list"],
        ["audit", "verify"],
        ["db", "status"],
    ],
)
def test_the_node_is_named_before_and_after_each_subcommand(tmp_path, before):
    data = str(tmp_path / "data")
    assert run("db", "upgrade", "--data-dir", data)[0] == 0
    area, command = before
    place = ("--data-dir", data)
    answers = [run(*place, area, command), run(area, *place, command), run(area, command, *place)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 0, answers[0]
    code, _, err = run(area, *place, command, "--config", str(tmp_path / "none.toml"))
    assert (code, err) == (1, f"cloudos: there is no configuration file {tmp_path / 'none.toml'}\n")


def test_the_place_that_is_named_last_holds(tmp_path):
    code, _, err = run("user", "--data-dir", str(tmp_path / "one"), "list", "--data-dir", str(tmp_path / "two"))
    assert code == 1
    assert f"{tmp_path / 'two'} holds no node" in err


def test_the_doctor_fails_where_there_is_no_folder_and_names_misspelt_plugins(tmp_path):
    code, out, _ = run(
        "doctor",
        "--data-dir",
        str(tmp_path / "none"),
        CLOUDOS_HOST__DISABLED='["proxi"]',
        CLOUDOS_HOST__REQUIRED='["auht"]',
    )
    assert code == 1
    assert f"FAIL data folder: {tmp_path / 'none'} does not exist" in out
    assert "note settings: host.disabled names 'proxi': no such plugin is installed; did you mean 'proxy'?" in out
    assert "FAIL settings: the required plugin 'auht' is not installed; did you mean 'auth'?" in out
