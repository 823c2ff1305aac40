"""The guide's own examples run: the tutorial's changes and the hooks of the reference."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from cloudos_sdk import Manifest, Permission, Role
from cloudos_sdk.scaffold.project import Project, write
from components.environments import run

GUIDE = Path(__file__).parents[2] / "docs" / "plugin-author"


def examples(page):
    text = (GUIDE / page).read_text()
    found = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def example(page, naming):
    (code,) = (code for code in examples(page) if naming in code)
    return code


@pytest.fixture
def guestbook():
    """Return a plugin made of the hooks as the guide shows them."""
    module = ModuleType("guestbook")
    for code in examples("hooks.md"):
        exec(compile(code, "hooks.md", "exec"), module.__dict__)
    module.manifest = Manifest(
        title="Guest book",
        prefixes=("/api/guestbook", "/raw"),
        permissions=(
            Permission("guestbook:read", "Read", Role.VIEWER),
            Permission("guestbook:write", "Write", Role.OPERATOR),
        ),
    )
    return module


async def test_the_hooks_of_the_guide_make_a_plugin(cloudos, guestbook):
    host = await cloudos(guestbook)
    assert host.state("guestbook") == "running", host.record("guestbook").reason
    added = await host.operator.post("/api/guestbook", json={"text": "Hello"})
    assert (added.status_code, await added.get_json()) == (201, {"text": "Hello", "author": "operator"})
    assert (await host.viewer.get("/raw")).status_code == 204
    assert isinstance(host.ctx("guestbook").use(guestbook.Bell), guestbook.Bell)
    assert {job.name for job in host.record("guestbook").jobs} == {"tidy", "report"}
    await host.run_job("guestbook", "tidy")


def test_the_manifest_of_the_guide_is_one():
    module = ModuleType("settings_example")
    exec(compile(example("manifest.md", "manifest = Manifest("), "manifest.md", "exec"), module.__dict__)
    assert module.manifest.settings().keep_days == 30
    exec(compile(example("manifest.md", "class Entry"), "manifest.md", "exec"), module.__dict__)
    assert list(module.Base.metadata.tables) == ["guestbook_entry"]


@pytest.fixture
def changed(tmp_path):
    """Return the tutorial's plugin with the changes that it describes."""
    folder = tmp_path / "cloudos-plugin-guestbook"
    write(Project.named("guestbook", "Guest book"), folder)
    package = folder / "src" / "cloudos_plugin_guestbook"

    def change(name, old, new):
        text = (package / name).read_text()
        assert old in text, f"the tutorial speaks of {old!r}, which {name} does not have"
        (package / name).write_text(text.replace(old, new))

    tutorial = (GUIDE / "tutorial.md").read_text()
    bodies, route = (
        "mood: str | None = Field(default=None, max_length=40)",
        "add(data.text, data.mood, principal().name)",
    )
    for said in ("mood: str | None = None", bodies, "mood: str | None", route):
        assert said in tutorial
    change("models.py", "    text: str\n", "    text: str\n    mood: str | None = None\n")
    (package / "migrations" / "0002_mood.py").write_text(example("tutorial.md", "add_column"))
    change("schemas.py", "max_length=2000)\n", f"max_length=2000)\n    {bodies}\n")
    change("schemas.py", "    text: str\n", "    text: str\n    mood: str | None\n")
    change("routes.py", "add(data.text, principal().name)", route)
    change("service.py", "add(self, text: str, author", "add(self, text: str, mood: str | None, author")
    change("service.py", "text=text, author", "text=text, mood=mood, author")
    with (folder / "tests" / "test_entries.py").open("a") as file:
        file.write("\n\n" + example("tutorial.md", "keeps_its_mood"))
    return folder


def test_the_tutorial_leads_to_a_plugin_that_passes_its_tests(environment, wheels, changed, tmp_path):
    from components.environments import build

    node = environment()
    node.install(wheels["cloudos-sdk"], wheels["cloudos-host"], build(changed, tmp_path))
    assert "9 passed" in run(node.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=changed)
