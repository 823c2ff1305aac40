"""smartctl, the program that asks disks about their health; it blocks and is for a thread."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

import orjson

_SEARCHED = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_LIMIT = 30.0


class SmartctlMissing(Exception):
    """The program is not installed."""


class SmartctlFailed(Exception):
    """The program gave no report; the message says why."""


def find(program: str) -> str:
    """Return the program's path, also if PATH has no sbin. Raises SmartctlMissing."""
    found = shutil.which(program) or shutil.which(program, path=_SEARCHED)
    if found is None:
        raise SmartctlMissing(program)
    return found


def version(program: str) -> str:
    """Return the program's version. Raises SmartctlMissing."""
    run = subprocess.run([find(program), "--version"], capture_output=True, text=True, timeout=10, check=False)
    told = re.match(r"smartctl (\S+)", run.stdout)
    return f"smartctl {told[1]}" if told else "smartctl"


def ask(program: str, device: str) -> Mapping[str, Any]:
    """Return the report on a device, without waking it. Raises SmartctlMissing, SmartctlFailed."""
    command = [find(program), "--json", "-a", "--nocheck=standby", device]
    try:
        run = subprocess.run(command, capture_output=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise SmartctlFailed(f"The disk did not answer within {_LIMIT:.0f} seconds.") from None
    except OSError as error:
        raise SmartctlFailed(f"smartctl cannot be run: {error.strerror}.") from None
    try:
        found = orjson.loads(run.stdout)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise SmartctlFailed("smartctl gave no report; version 7.0 or newer is needed.")
    return found
