"""Our own source files, read as syntax trees: nothing is imported."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAMEWORK = {"click", "pydantic", "pydantic_core", "quart", "quart_schema", "sqlmodel", "sqlalchemy", "werkzeug"}
FORMATS = {"orjson", "yaml"}
FIXED = {"plugin", "settings", "models", "schemas", "routes", "service", "jobs", "commands", "__init__"}


@dataclass(frozen=True)
class Module:
    """One file of a package."""

    folder: Path
    path: Path

    @property
    def package(self) -> str:
        """The package that it belongs to."""
        return self.folder.name

    @property
    def name(self) -> str:
        """The file's name without its ending; a module in a folder goes by the folder's name."""
        return self.path.relative_to(self.folder).parts[0].removesuffix(".py")

    @property
    def place(self) -> str:
        """The path from the top of the repository."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.path.read_text(), str(self.path))

    @cached_property
    def imports(self) -> set[str]:
        """The dotted names that it imports, at the top and inside functions, `from x import y` as `x.y`."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found |= {f"{base}.{alias.name}" for alias in node.names}
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        inside = [self.package, *self.path.relative_to(self.folder).parts[:-1]]
        return ".".join([*inside[: len(inside) - node.level + 1], *([node.module] if node.module else [])])

    @cached_property
    def roots(self) -> set[str]:
        """The top-level packages that it imports."""
        return {name.split(".")[0] for name in self.imports}

    @cached_property
    def siblings(self) -> set[str]:
        """The modules of its own package that it imports."""
        return {name.split(".")[1] for name in self.imports if name.startswith(f"{self.package}.")} - {self.name}

    @cached_property
    def strings(self) -> set[str]:
        """The string literals in it that are not docstrings."""
        plain = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        nodes = (node for node in ast.walk(self.tree) if isinstance(node, ast.Constant) and id(node) not in plain)
        return {node.value for node in nodes if isinstance(node.value, str)}

    @property
    def outside(self) -> set[str]:
        """The libraries it imports that are neither Python's, nor the framework, nor ours; and subprocess."""
        foreign = {r for r in self.roots if r not in sys.stdlib_module_names and not r.startswith("cloudos_")}
        return (foreign - FRAMEWORK - FORMATS) | (self.roots & {"subprocess"})


def package(folder: Path) -> list[Module]:
    """Return the modules of a package, its migrations left out."""
    files = sorted(folder.rglob("*.py"))
    return [Module(folder, path) for path in files if "migrations" not in path.relative_to(folder).parts]


PLUGINS = {folder.name: package(folder) for folder in sorted(ROOT.glob("plugins/*/src/cloudos_*")) if folder.is_dir()}
HOST = package(ROOT / "cloudos_host")
SDK = package(ROOT / "sdk" / "src" / "cloudos_sdk")


def roles(modules: list[Module]) -> dict[str, str]:
    """Return the role of each module of a plugin: its fixed name, else `values`, `adapter` or `service`.

    Values are what knows nothing of the plugin but schemas, settings and other values. An adapter knows no more,
    but one thing outside: a library or a program. Whatever else has a name of its own is a service, split by concern.
    """
    free = {m.name for m in modules} - FIXED
    siblings = {name: set[str]().union(*(m.siblings for m in modules if m.name == name)) for name in free}
    outside = {name for name in free if any(m.outside for m in modules if m.name == name)}
    found = {m.name: m.name for m in modules if m.name in FIXED} | dict.fromkeys(free, "service")
    changed = True
    while changed:
        changed = False
        for name in free:
            knows = {found.get(sibling, "service") for sibling in siblings[name] - {name}}
            low = {"schemas", "settings", "values"} | ({"adapter"} if name in outside else set())
            if found[name] == "service" and knows <= low:
                found[name] = "adapter" if name in outside else "values"
                changed = True
    return found
