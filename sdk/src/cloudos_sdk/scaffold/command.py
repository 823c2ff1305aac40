"""The command line: `cloudos-plugin new <id>`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloudos_sdk.scaffold.project import Project, ScaffoldError, write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        project = Project.named(options.id, options.title)
        folder = options.dir if options.dir is not None else Path(project.distribution)
        files = write(project, folder)
    except ScaffoldError as error:
        print(f"cloudos-plugin: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {len(files)} files to {folder}. Next:\n")
    print(f"    cd {folder}")
    print('    pip install -e ".[test]"')
    print("    pytest")
    print("    cloudos serve")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cloudos-plugin", description="Begin a Cloud OS plugin.")
    commands = parser.add_subparsers(required=True, metavar="command")
    new = commands.add_parser("new", help="write a plugin that works, to be changed into yours")
    new.add_argument(
        "id", help="the plugin's id, such as `guestbook`: its URL, tables, settings and folder follow from it"
    )
    new.add_argument("--title", help="its name for people; the id in words without it")
    new.add_argument("--dir", type=Path, help="the folder to write, new or empty; `cloudos-plugin-<id>` without it")
    return parser
