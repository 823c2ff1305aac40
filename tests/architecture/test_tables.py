"""Tables carry their plugin's prefix, keep to themselves, and are made by numbered steps alone."""

import ast
import importlib
import re

import pytest
from architecture.sources import PLUGINS, ROOT

from cloudos_host.plugins.discovery import discover

FOUND = [found for found in discover() if found.error is None]
FOLDERS = [*ROOT.glob("plugins/*/src/cloudos_*/migrations"), ROOT / "cloudos_host" / "migrations"]
OPERATIONS = {
    "create_table",
    "drop_table",
    "rename_table",
    "add_column",
    "drop_column",
    "alter_column",
    "batch_alter_table",
}
plugins = pytest.mark.parametrize("found", FOUND, ids=lambda found: found.id)


def prefix_of(id):
    return id.replace("-", "_") + "_"


def metadata(found):
    tables = importlib.import_module(found.target).manifest.tables
    return tables.metadata if tables is not None else None


def test_every_plugin_of_the_repository_is_installed():
    assert {name.removeprefix("cloudos_") for name in PLUGINS} <= {found.id for found in FOUND}


@plugins
def test_every_table_begins_with_its_plugins_prefix(found):
    for table in metadata(found).tables if metadata(found) is not None else ():
        assert table.startswith(prefix_of(found.id))


@plugins
def test_no_foreign_key_leaves_its_plugin(found):
    for table in metadata(found).tables.values() if metadata(found) is not None else ():
        for key in table.foreign_keys:
            assert key.target_fullname.startswith(prefix_of(found.id)), f"{table.name} -> {key.target_fullname}"


@plugins
def test_a_plugin_with_tables_has_migrations(found):
    manifest = importlib.import_module(found.target).manifest
    assert (manifest.tables is None) == (manifest.migrations is None)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_migrations_are_numbered_steps_and_nothing_else(folder):
    names = sorted(path.name for path in folder.glob("*.py"))
    assert "env.py" not in names, "the host owns the one environment"
    steps = [name for name in names if name != "__init__.py"]
    for number, name in enumerate(steps, 1):
        assert re.fullmatch(rf"{number:04}_[a-z0-9_]+\.py", name), f"{name} is not step {number:04}"
        tree = ast.parse((folder / name).read_text())
        values = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision")
        }
        assert values["revision"] == f"{number:04}", name
        assert values["down_revision"] == (f"{number - 1:04}" if number > 1 else None), name
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert "upgrade" in functions and "downgrade" not in functions, f"{name}: only forward; snapshots go back"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_migrations_touch_only_tables_of_their_own(folder):
    prefix = folder.parent.name.removeprefix("cloudos_") + "_"
    for path in folder.glob("[0-9]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPERATIONS:
                table = node.args[0] if node.args else None
                if isinstance(table, ast.Constant):
                    assert str(table.value).startswith(prefix), f"{path.name}: {node.func.attr}({table.value!r})"
