"""The fast paths replace private parts of Quart and hypercorn: other versions are served without them."""

from cloudos_host.http import library_versions
from cloudos_host.http.library_versions import fast_path_wanted, unknown_versions


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, text, **more):
        self.lines.append((text, more))


def test_the_installed_versions_are_known():
    assert unknown_versions() == {}


def test_a_version_that_is_not_known_is_served_without_the_fast_path_and_said_once(monkeypatch):
    monkeypatch.setattr(library_versions, "version", lambda name: {"quart": "0.99.1", "hypercorn": "0.18.0"}[name])
    log = Log()
    assert fast_path_wanted(True, log) is False
    assert [more for _, more in log.lines] == [{"quart": "0.99.1"}]


def test_a_node_can_be_told_to_serve_without_it():
    log = Log()
    assert fast_path_wanted(False, log) is False and not log.lines


async def test_an_application_has_what_the_settings_say(cloudos):
    for wanted in (True, False):
        running = await cloudos(fast_path=wanted)
        assert running.host.app.fast_path is wanted
        assert (await running.client.get("/api/health")).status_code == 200
        await running.host.shutdown()
