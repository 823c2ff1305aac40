"""What `cloudos-plugin new` writes works as it is: linted, typed, tested, built, installed and served."""

import subprocess
import sys
from pathlib import Path

import pytest
from cloudos_sdk.scaffold.command import main
from cloudos_sdk.scaffold.project import RESERVED, Project, ScaffoldError, write
from components.environments import build, run

BIN = Path(sys.executable).parent


def new(folder, id, **options):
    write(Project.named(id, **options), folder)
    return folder


def files(folder):
    return [
        path for path in folder.rglob("*") if path.is_file() and not {"__pycache__", ".mypy_cache"} & set(path.parts)
    ]


@pytest.fixture(scope="module")
def guest_book(tmp_path_factory):
    """Return a fresh plugin's folder."""
    return new(tmp_path_factory.mktemp("scaffold") / "guest-book", "guest-book", title="Guests' book")


@pytest.fixture(scope="module")
def node(environment, wheels, guest_book, tmp_path_factory):
    """Return an environment with a host, the sign-in, the fresh plugin, and one made for a later SDK."""
    into = tmp_path_factory.mktemp("built")
    late = new(tmp_path_factory.mktemp("scaffold") / "late", "late")
    project = late / "pyproject.toml"
    text = project.read_text()
    assert 'dependencies = ["cloudos-sdk>=0.1,<0.2"]' in text
    project.write_text(text.replace('dependencies = ["cloudos-sdk>=0.1,<0.2"]', 'dependencies = ["cloudos-sdk>=99"]'))
    node = environment()
    node.install(wheels["cloudos-sdk"], wheels["cloudos-host"], wheels["cloudos-auth"])
    node.install(build(guest_book, into), build(late, into))
    return node


@pytest.fixture(scope="module")
def server(node, tmp_path_factory):
    """Run that host as a process, and sign in."""
    with node.serve(tmp_path_factory.mktemp("data")) as server:
        server.sign_in()
        yield server


def test_an_installed_wheel_serves_its_route(server):
    status, entry = server.request("POST", "/api/guest-book", {"text": "Hello"})
    assert status == 201
    assert (entry["text"], entry["author"]) == ("Hello", "root")
    assert server.request("GET", "/api/guest-book") == (200, [entry])
    assert server.request("DELETE", f"/api/guest-book/{entry['id']}")[0] == 204
    assert server.request("GET", "/api/guest-book") == (200, [])


def test_its_endpoints_are_in_the_description_of_the_api(server):
    _, document = server.request("GET", "/openapi.json")
    assert set(document["paths"]["/api/guest-book"]) == {"get", "post"}


def test_a_wheel_for_another_sdk_is_listed_with_the_reason_and_stops_nobody_else(server):
    listed = {plugin["id"]: plugin for plugin in server.request("GET", "/api/plugins")[1]}
    assert (listed["late"]["state"], listed["late"]["phase"]) == ("failed", "discover")
    assert ">=99" in listed["late"]["reason"] and "0.1" in listed["late"]["reason"]
    assert {id: plugin["state"] for id, plugin in listed.items()} == {
        "auth": "running",
        "guest-book": "running",
        "late": "failed",
    }
    status, body = server.request("GET", "/api/late")
    assert (status, body["error"], body["plugin"]) == (503, "plugin_unavailable", "late")


def test_its_own_tests_pass(node, guest_book):
    said = run(node.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=guest_book)
    assert "8 passed" in said


def test_the_command_of_an_installed_sdk_brings_its_templates(node, guest_book, tmp_path):
    run(node.folder / "bin" / "cloudos-plugin", "new", "other", "--dir", tmp_path / "other")
    assert len(files(tmp_path / "other")) == len(files(guest_book))


def test_its_setting_has_an_effect_and_a_misspelt_one_is_named(node, tmp_path):
    with node.serve(tmp_path, CLOUDOS_GUEST_BOOK__KEEP_DAY="3") as server:
        server.sign_in()
        listed = {plugin["id"]: plugin for plugin in server.request("GET", "/api/plugins")[1]}
    assert listed["guest-book"]["state"] == "failed"
    assert "keep_day'" in listed["guest-book"]["reason"] and "keep_days" in listed["guest-book"]["reason"]


@pytest.mark.parametrize("id", ["guest-book", "a", "x2_y", "a-plugin-with-a-long-id0"])
def test_it_is_linted_and_formatted(tmp_path, id):
    folder = new(tmp_path / "new", id)
    run(BIN / "ruff", "check", "--no-cache", ".", cwd=folder)
    run(BIN / "ruff", "format", "--no-cache", "--check", ".", cwd=folder)


def test_it_is_typed(guest_book):
    assert "Success" in run(BIN / "mypy", cwd=guest_book)


@pytest.mark.parametrize(
    "id", ["", "Guest", "9lives", "guest book", "guest--book", "-guest", "guest-", "gästebuch", "a/b", "..", "a" * 25]
)
def test_what_is_no_id_is_refused(id):
    with pytest.raises(ScaffoldError, match="no plugin id"):
        Project.named(id)


def test_the_hosts_own_ids_are_refused():
    from cloudos_host.http.host_api import manifest

    own = {prefix.split("/")[2] for prefix in manifest.prefixes if prefix.startswith("/api/")}
    assert own <= RESERVED, "the host has a path more; the scaffold must not write a plugin for it"
    for id in RESERVED:
        with pytest.raises(ScaffoldError, match="the host's own"):
            Project.named(id)


def test_the_id_of_an_installed_plugin_is_refused():
    with pytest.raises(ScaffoldError, match="cloudos-auth is installed"):
        Project.named("auth")


@pytest.mark.parametrize("title", ["", "  ", 'Say "hi"', "two\nlines", "back\\slash", "x" * 61])
def test_a_title_that_would_break_the_files_is_refused(title):
    with pytest.raises(ScaffoldError, match="title"):
        Project.named("fine", title)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["new", "fine", "--dir", str(tmp_path)]) == 1
    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert main(["new", "fine", "--dir", str(tmp_path / "mine.txt")]) == 1


def test_the_command_writes_where_it_is_told_and_says_what_is_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "guest-book", "--title", "A $book"]) == 0
    assert "cd cloudos-plugin-guest-book" in capsys.readouterr().out
    text = (tmp_path / "cloudos-plugin-guest-book/src/cloudos_plugin_guest_book/plugin.py").read_text()
    assert 'title="A $book"' in text
    (tmp_path / "empty").mkdir()
    assert main(["new", "other", "--dir", "empty"]) == 0
    assert (tmp_path / "empty" / "pyproject.toml").exists()


def test_the_command_is_installed():
    said = subprocess.run([BIN / "cloudos-plugin", "--help"], capture_output=True, text=True)
    assert "new" in said.stdout
