"""Our own source files, read as syntax trees: nothing is imported."""

from __future__ import annotations

import ast
import sys
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAMEWORK = {"click", "pydantic", "pydantic_core", "quart", "quart_schema", "sqlmodel", "sqlalchemy", "werkzeug"}
FORMATS = {"orjson", "yaml"}


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
    def room(self) -> str:
        """The folder that it is in, as a path below the package; its own name where that is the package itself."""
        inside = self.path.relative_to(self.folder)
        return inside.parent.as_posix() if len(inside.parts) > 1 else inside.stem

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
    def neighbours(self) -> set[str]:
        """The other rooms of its own package that it imports from."""
        return {self._room_of(name.split(".")[1:]) for name in self.imports if name.startswith(f"{self.package}.")} - {
            self.room, "__init__",
        }  # fmt: skip

    def _room_of(self, parts: list[str]) -> str:
        """Return the room of a dotted name below the package: the deepest folder, or a module of the package."""
        place = self.folder
        for at, part in enumerate(parts):
            if not (place / part).is_dir():
                return place.relative_to(self.folder).as_posix() if at else self._top(part)
            place /= part
        return place.relative_to(self.folder).as_posix()

    def _top(self, part: str) -> str:
        return part if (self.folder / f"{part}.py").exists() else "__init__"

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


def stated(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the order of a distribution's rooms, from the top down, and the outside libraries of each room."""
    table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["cloudos"]
    return table["rooms"], table.get("libraries", {})
