"""The log tells what failed and keeps secrets to itself."""

import subprocess
import sys

import pytest
import structlog

from cloudos_host import logs
from cloudos_host.config import HostSettings


@pytest.fixture
def restored():
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_logged_crash_does_not_show_the_values_of_variables(form, capsys, restored):
    logs.configure(HostSettings(log_format=form))

    def crash():
        password = "hunter2" + "hunter2"
        raise RuntimeError(f"of length {len(password)}")

    try:
        crash()
    except RuntimeError as error:
        structlog.get_logger().error("request crashed", exc_info=error)
    written = capsys.readouterr().err
    assert "of length 14" in written
    assert "crash" in written
    assert "hunter2hunter2" not in written


def test_a_host_starts_without_the_rendering_of_tracebacks():
    script = "import sys, cloudos_host.host; sys.exit('rich.console' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
