"""What a plugin owns is known without an import: what is out of service answers 503 on all of its paths."""

import pytest

from cloudos_host.cli.cli_context import examine
from cloudos_host.plugins.discovery import DiscoveredPlugin, discover

STATED = ("/api/shop", "/api/till", "/shop")


@pytest.mark.parametrize("state", ["failed", "disabled"])
async def test_what_was_never_imported_is_503_on_all_of_its_paths(cloudos, state):
    shop = DiscoveredPlugin("shop", "cloudos_no_such_module", "(test)", "1", stated=STATED)
    disabled = ("shop",) if state == "disabled" else ()
    host = await cloudos(shop, disabled=disabled)
    assert host.state("shop") == state
    for path in (*STATED, *(f"{prefix}/below" for prefix in STATED)):
        answer = await host.anonymous.post(path)
        assert (answer.status_code, (await answer.get_json())["error"]) == (503, "plugin_unavailable"), path
    assert (await host.anonymous.get("/api/tilt")).status_code == 404


async def test_who_serves_a_path_answers_for_it_whatever_else_claims_it(cloudos):
    from boot_plugins import notes_plugin

    other = DiscoveredPlugin("a-former", "cloudos_no_such_module", "(test)", "1", stated=("/api/jotter",))
    host = await cloudos(other, notes_plugin())
    assert (await host.anonymous.get("/api/jotter/nothing/here")).status_code == 404


def test_every_installed_plugin_states_the_prefixes_of_its_manifest(tmp_path):
    from cloudos_host.config import Config, HostSettings

    for found in discover():
        host, loader = examine(Config(HostSettings(data_dir=tmp_path), {}, "the test"), found)
        loader.examine(host.records[0])
        assert found.stated == tuple(sorted(host.records[0].manifest.prefixes)), found.id
