"""A mount namespace of the test's own, with real filesystems in image files; nothing of it is seen outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_NEEDED = {"unshare": "util-linux", "mkfs.ext4": "e2fsprogs"}


@pytest.fixture
def mount_namespace(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a runner: a shell script that mounts things below its working folder, then Python that looks at them."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for program, package in _NEEDED.items() if shutil.which(program, path=path) is None})
    if missing:
        pytest.skip(f"no mount namespaces for the tests: apt-get install -y {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("no mount namespaces for the tests: they need root; run them by sudo")

    def run(mounting: str, looking: str) -> str:
        script = f'set -e\n{mounting}\nexec "$PYTHON" -c "$LOOK"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHON": sys.executable, "LOOK": looking},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
