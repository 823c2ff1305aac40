"""Who may import whom. A rule that is broken is named with its file."""

import ast
import re

import pytest
from architecture.sources import HOST, PLUGINS, ROOT, SDK, roles

VALUES = {"schemas", "settings", "values"}
LAYERS = {
    "plugin": {"routes", "jobs", "commands", "service", "models", "adapter", *VALUES},
    "routes": {"service", *VALUES},
    "jobs": {"service", *VALUES},
    "commands": {"service", *VALUES},
    "service": {"service", "models", "adapter", *VALUES},
    "adapter": {"adapter", *VALUES},
    "models": VALUES,
    "schemas": VALUES,
    "settings": VALUES,
    "values": VALUES,
}
ALL = [module for modules in PLUGINS.values() for module in modules]
plugins = pytest.mark.parametrize("plugin", PLUGINS)


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
        assert "plugin" not in module.siblings, f"{module.place} imports plugin.py, which only wires"


@plugins
def test_layers_know_only_those_below_them(plugin):
    role = roles(PLUGINS[plugin])
    for module in PLUGINS[plugin]:
        if module.name == "__init__":
            continue
        for name in module.siblings & set(role):
            assert role[name] in LAYERS[role[module.name]], (
                f"{module.place} ({role[module.name]}) imports {name}.py ({role[name]}); routes, jobs -> service ->"
                " models, adapter"
            )


@plugins
def test_routes_and_jobs_touch_nothing_outside_themselves(plugin):
    for module in PLUGINS[plugin]:
        if module.name in ("routes", "jobs"):
            assert not module.outside, f"{module.place} imports {module.outside}; an adapter is the place for it"


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
