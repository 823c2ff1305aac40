"""`make test ARGS=--changed` leaves out no test that a change may break."""

import pytest
from components.changed_files import ALWAYS, touched


@pytest.mark.parametrize(
    "path",
    [
        "cloudos_host/http/gate.py",
        "sdk/src/cloudos_sdk/http.py",
        "conftest.py",
        "Makefile",
        "tests/components/caddy.py",
    ],
)
def test_what_every_test_stands_on_touches_all(path):
    assert touched(["docs/index.md", path]) is None


def test_a_plugin_touches_its_own_tests_and_those_that_ask_all():
    found = touched(["plugins/notes/src/cloudos_notes/plugin.py"])
    assert {*ALWAYS, "plugins/notes", "tests/e2e", "tests/editions"} == set(found)


def test_a_test_touches_itself_and_what_tests_share_its_folder():
    assert "tests/host/test_jobs.py" in touched(["tests/host/test_jobs.py"])
    assert "tests/host" in touched(["tests/host/hooked_plugin.py"])
    assert set(touched(["tests/bench/load.py"])) == set(ALWAYS)
