"""Every edition serves, and what is left out of it answers that it is not installed."""

import tomllib

import pytest
from components.environments import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
EDITIONS = [name for name in EXTRAS if any(r.startswith("cloudos-auth") for r in EXTRAS[name])]
AREAS = {
    "cloudos-apps": ("/api/apps", "/api/apps/app_x", "/api/templates"),
    "cloudos-audit": ("/api/audit/logs",),
    "cloudos-backups": ("/api/backups", "/api/backup/targets", "/api/backup/schedule"),
    "cloudos-system": ("/api/system/info", "/api/network/history"),
    "cloudos-dashboard": ("/api/profile/dashboard",),
    "cloudos-alerts": ("/api/alerts/rules",),
    "cloudos-webhooks": ("/api/webhooks",),
    "cloudos-proxy": ("/api/proxy/routes", "/api/domains", "/api/settings/proxy/coexist-snippet"),
    "cloudos-notes": ("/api/notes/graph", "/api/molly/memory/recent"),
    "cloudos-memory": ("/api/mcp/keys",),
}


def members(edition):
    return {requirement.split("[")[0].split(">")[0].strip() for requirement in EXTRAS[edition]}


def installed(server):
    return {plugin["distribution"] for plugin in server.request("GET", "/api/plugins")[1]}


def is_not_installed(server, path):
    status, body = server.request("GET", path)
    assert (status, body["error"]) == (404, "feature_not_installed"), path
    assert path in body["message"] or "/".join(path.split("/")[:3]) in body["message"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_edition_serves_without_the_plugins_that_it_leaves_out(edition, environment, wheels, tmp_path):
    node = environment()
    node.install(wheels["cloudos-sdk"], wheels["cloudos-host"], *(wheels[name] for name in members(edition)))
    with node.serve(tmp_path / "data") as server:
        server.sign_in()
        assert installed(server) == members(edition)
        for name, paths in AREAS.items():
            for path in paths:
                if name not in members(edition):
                    is_not_installed(server, path)


def test_an_uninstalled_plugin_leaves_a_host_that_serves(environment, wheels, tmp_path):
    node = environment()
    node.install(*wheels.values())
    with node.serve(tmp_path / "data") as server:
        token = server.sign_in()
        assert "cloudos-apps" in installed(server)
    node.uninstall("cloudos-apps")
    with node.serve(tmp_path / "data") as server:
        server.token = token
        assert server.request("GET", "/api/auth/me")[0] == 200, "the session outlives the restart"
        for path in AREAS["cloudos-apps"]:
            is_not_installed(server, path)
        assert "cloudos-apps" not in installed(server)
    node.install(wheels["cloudos-apps"])
    with node.serve(tmp_path / "data") as server:
        server.sign_in()
        assert "cloudos-apps" in installed(server), "it is back, on the data that it left"


def test_a_host_without_its_required_plugin_says_what_to_install(environment, wheels, tmp_path):
    node = environment()
    node.install(wheels["cloudos-sdk"], wheels["cloudos-host"], wheels["cloudos-apps"])
    with pytest.raises(AssertionError, match="install cloudos-auth"), node.serve(tmp_path / "data"):
        pass
