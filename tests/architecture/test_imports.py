"""Who may import whom. A rule that is broken is named with its file."""

import ast
import re

import pytest
from architecture.sources import HOST, PLUGINS, ROOT, SDK, stated

ALL = [module for modules in PLUGINS.values() for module in modules]
plugins = pytest.mark.parametrize("plugin", PLUGINS)
DISTRIBUTIONS = {name: (ROOT / "plugins" / name.removeprefix("cloudos_"), PLUGINS[name]) for name in PLUGINS}
DISTRIBUTIONS["cloudos_host"] = (ROOT, HOST)
distributions = pytest.mark.parametrize("name", DISTRIBUTIONS)


def test_there_are_plugins_to_judge():
    assert PLUGINS and HOST and SDK


@plugins
def test_a_plugin_imports_only_the_sdk_of_ours(plugin):
    for module in PLUGINS[plugin]:
        ours = {root for root in module.roots if root.startswith("cloudos_")}
        assert ours <= {"cloudos_sdk", plugin}, f"{module.place} imports {ours - {'cloudos_sdk', plugin}}"


@plugins
def test_a_plugin_names_no_other_in_a_string(plugin):
    others = "|".join(sorted(set(PLUGINS) - {plugin} | {"cloudos_host"}))
    for module in PLUGINS[plugin]:
        named = {text for text in module.strings if re.match(rf"({others})(\.|$)", text)}
        assert not named, f"{module.place} names {named}, as if to import it"


@plugins
def test_nothing_imports_the_plugin_module(plugin):
    for module in PLUGINS[plugin]:
        assert "plugin" not in module.neighbours, f"{module.place} imports plugin.py, which only wires"


@distributions
def test_a_room_imports_only_from_those_stated_after_it(name):
    folder, modules = DISTRIBUTIONS[name]
    rooms, _ = stated(folder)
    assert len(set(rooms)) == len(rooms)
    there = {module.room for module in modules} - {"__init__"}
    assert set(rooms) == there, f"tool.cloudos.rooms of {folder.name} and its folders differ: {set(rooms) ^ there}"
    for module in modules:
        if module.room == "__init__":
            assert not module.neighbours, f"{module.place} imports {module.neighbours}"
            continue
        above = module.neighbours - set(rooms[rooms.index(module.room) :])
        assert not above, f"{module.place} imports {above}, which the order of rooms puts above {module.room}"


@distributions
def test_an_outside_library_is_used_only_in_the_rooms_stated_for_it(name):
    folder, modules = DISTRIBUTIONS[name]
    rooms, libraries = stated(folder)
    assert set(libraries) <= set(rooms)
    for room in rooms:
        used = set[str]().union(*(module.outside for module in modules if module.room == room))
        assert used == set(libraries.get(room, [])), f"{folder.name}: {room} uses {sorted(used)}"


@pytest.mark.parametrize("module", [*HOST, *SDK], ids=lambda module: module.place)
def test_the_host_and_the_sdk_name_no_plugin(module):
    ids = [name.removeprefix("cloudos_") for name in PLUGINS]
    pattern = rf"\bcloudos[_-]({'|'.join(ids)})\b"
    assert not re.search(pattern, module.path.read_text()), f"{module.place} names a plugin"


def test_the_sdk_knows_the_host_only_where_it_runs_one():
    for module in SDK:
        if module.path.parent.name != "testing":
            assert "cloudos_host" not in module.roots, f"{module.place} imports the host"


def test_importing_the_harness_does_not_import_the_host():
    for module in SDK:
        top = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not [node for node in top if "cloudos_host" in ast.unparse(node)], f"{module.place} imports it at once"


def test_a_distribution_requires_what_it_is_made_of_and_no_other_plugin():
    import tomllib

    for plugin in PLUGINS:
        project = tomllib.loads((ROOT / "plugins" / plugin.removeprefix("cloudos_") / "pyproject.toml").read_text())
        required = {re.split(r"[^A-Za-z0-9_-]", r)[0] for r in project["project"]["dependencies"]}
        assert {r for r in required if r.startswith("cloudos-")} == {"cloudos-sdk"}, f"{plugin} requires {required}"
