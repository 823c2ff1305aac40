"""The log tells what failed and keeps secrets to itself."""

import asyncio
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


def test_no_request_begins_a_line_of_the_access_log(capsys):
    from hypercorn.config import Config

    from cloudos_host.http.access_log import AccessLogger

    config = Config()
    config.accesslog = "-"
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a\r\n203.0.113.9 - - forged",
        "query_string": b"x=\x1b[2J",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [(b"user-agent", b"a\x1b[2J\x85b"), (b"referer", b"c\x0bd")],
        "client": ("192.0.2.1", 1),
    }
    asyncio.run(AccessLogger(config).access(scope, {"status": 200, "headers": []}, 0.1))
    written = capsys.readouterr().out
    assert len(written.splitlines()) == 1
    assert "forged" in written and "\x1b" not in written


def test_a_host_starts_without_the_rendering_of_tracebacks():
    script = "import sys, cloudos_host.host; sys.exit('rich.console' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_crash_is_logged_in_few_words_however_deep_and_wordy_it_is(form, capsys, restored):
    logs.configure(HostSettings(log_format=form))

    def first(depth):
        return second(depth)

    def second(depth):
        if depth == 0:
            raise RuntimeError("x" * 1_000_000)
        return first(depth - 1)

    try:
        try:
            first(400)
        except RuntimeError as error:
            raise ValueError("y" * 1_000_000) from error
    except ValueError as error:
        structlog.get_logger().error("request crashed", exc_info=error)
    written = capsys.readouterr().err
    assert "in second" in written
    assert len(written) < 20_000


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_was_sent_to_us_begins_no_line_of_the_log(form, capsys, restored):
    logs.configure(HostSettings(log_format=form))
    structlog.get_logger().warning("odd\nname", name="a\r\n2026-01-01 [info] forged\x1b[2J\u2028end", n=1)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "\x1b[2J" not in written and "\u2028" not in written and "\r" not in written
    assert "forged" in written
