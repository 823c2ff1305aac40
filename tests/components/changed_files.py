"""Which tests a change touches, by distribution: plugins are found by entry point, so imports alone do not tell."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

ALWAYS = ("tests/architecture", "tests/contract")
"""Folders of tests that ask all plugins."""
_PAGES = ("docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def changed_files(root: Path) -> list[str]:
    """Return the paths that differ from `origin/main`, or from the last commit without it; new files too."""
    base = _git(root, "merge-base", "HEAD", "origin/main") or ["HEAD"]
    return [*_git(root, "diff", "--name-only", base[0]), *_git(root, "ls-files", "--others", "--exclude-standard")]


def _git(root: Path, *arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True).stdout.split("\n")[:-1]


def touched(changed: Iterable[str]) -> tuple[str, ...] | None:
    """Return the folders and files of tests that a change touches; None means all of them."""
    found = set(ALWAYS)
    for path in changed:
        parts = path.split("/")
        if parts[0] == "plugins":
            found |= {f"plugins/{parts[1]}", "tests/e2e", "tests/editions"}
        elif parts[0] == "tests" and parts[1] not in ("components", "bench"):
            found.add(path if parts[-1].startswith("test_") else "/".join(parts[:2]))
        elif parts[0] in _PAGES:
            found |= {"tests/host/test_docs.py", "sdk/tests/test_guide.py"}
        elif parts[:2] != ["tests", "bench"]:
            return None
    return tuple(sorted(found))
