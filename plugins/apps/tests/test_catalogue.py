"""The package's own templates, and the three endpoints of the reference."""

import importlib.resources

import pytest
from app_node import dangers
from cloudos_apps.templates.catalog import BrokenTemplate, TemplateCatalog, own_templates, parse
from cloudos_apps.templates.formats.detect import read
from cloudos_apps.templates.model.template import Template, render, validate_config, wanted_ports
from cloudos_sdk import NotFound

OWN = own_templates()
WELL_KNOWN = [
    "nextcloud",
    "gitea",
    "vaultwarden",
    "jellyfin",
    "immich",
    "postgres",
    "redis",
    "uptime-kuma",
    "n8n",
    "ghost",
    "wordpress",
    "minio",
    "grafana",
    "paperless-ngx",
    "home-assistant",
    "mariadb",
]
CATEGORIES = {
    "automation", "databases", "development", "files", "media", "monitoring", "networking", "productivity",
    "publishing", "security",
}  # fmt: skip
PASSWORD = "Correct-horse-battery-1"


def settings(template):
    """Return what an installer has to give."""
    return {field.name: PASSWORD for field in template.config if field.required and field.default is None}


def test_the_catalogue_has_the_well_known_apps_in_the_known_categories():
    assert len(OWN) >= 28
    assert set(WELL_KNOWN) <= set(OWN)
    assert {template.category for template in OWN.values()} == CATEGORIES


def test_each_file_is_one_template_of_its_name():
    folder = importlib.resources.files("cloudos_apps.templates") / "apps"
    files = [entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    assert sorted(files) == sorted(f"{name}.yaml" for name in OWN)
    shown = [template.display_name for template in OWN.values()]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("template", OWN.values(), ids=OWN)
def test_an_own_template_is_pinned_described_and_harmless(template):
    assert template.pinned
    for service in template.services:
        assert service.image.rsplit(":", 1)[1][-1:].isalnum()
        assert any(letter.isdigit() for letter in service.image.rsplit(":", 1)[1]), "a tag that names a version"
        assert service.healthcheck is not None
    assert dangers(template) == []
    assert template.description
    assert template.website
    assert template.icon == f"{template.name}.svg"


@pytest.mark.parametrize("template", OWN.values(), ids=OWN)
def test_an_own_template_renders_with_what_must_be_given_and_no_more(template):
    config = validate_config(template, settings(template))
    ports = {name: port or 20000 + n for n, (name, port) in enumerate(wanted_ports(template, config).items())}
    services = render(template, "my-app", config, ports)
    for service in services:
        for text in (*service.environment.values(), *(service.command or ()), *service.healthcheck.test):
            assert "${" not in text
        assert all(port.host for port in service.ports)
    assert set(template.start_order()) == {service.name for service in services}


@pytest.mark.parametrize("template", OWN.values(), ids=OWN)
def test_who_installs_knows_each_password_that_a_person_needs(template):
    """A generated secret is never shown, so only what no person types may be generated."""
    for field in template.config:
        if field.type == "password":
            assert field.secret
        if field.generate:
            assert any(word in field.name for word in ("database", "root", "key"))
        assert field.label


async def test_the_list_is_printed_as_in_the_reference(cloudos):
    host = await cloudos("apps")
    answer = await host.viewer.get("/api/templates")
    listed = {item["name"]: item for item in await answer.get_json()}
    assert listed["nextcloud"] == {
        "name": "nextcloud",
        "display_name": "Nextcloud",
        "description": "Self-hosted productivity platform",
        "category": "productivity",
        "version": "28.0",
        "icon": "nextcloud.svg",
    }
    assert listed["gitea"] == {
        "name": "gitea",
        "display_name": "Gitea",
        "description": "Lightweight self-hosted Git service",
        "category": "development",
        "version": "1.21",
        "icon": "gitea.svg",
    }
    assert list(listed) == sorted(listed)


async def test_the_categories_are_listed_with_their_counts(cloudos):
    host = await cloudos("apps")
    listed = await (await host.viewer.get("/api/templates/categories")).get_json()
    assert {item["name"] for item in listed} == CATEGORIES
    assert sum(item["count"] for item in listed) == len(OWN)


async def test_a_template_tells_its_settings_ports_and_services_but_no_secret(cloudos):
    host = await cloudos("apps")
    body = await (await host.viewer.get("/api/templates/nextcloud")).get_json()
    fields = {field["name"]: field for field in body["config"]}
    assert fields["admin_password"]["required"]
    assert fields["admin_password"]["secret"]
    assert [service["name"] for service in body["services"]] == ["nextcloud", "database", "cache"]
    assert body["web_port"] == "web"
    assert body["dangers"] == []
    assert body["source"] is None


async def test_an_unknown_template_is_a_404_that_names_the_nearest(cloudos):
    host = await cloudos("apps")
    answer = await host.viewer.get("/api/templates/nextclod")
    body = await answer.get_json()
    assert (answer.status_code, body["error"]) == (404, "template_not_found")
    assert "'nextcloud'" in body["message"]
    assert (await host.anonymous.get("/api/templates")).status_code == 401


async def test_an_admin_may_put_templates_into_the_folder(tmp_path):
    catalogue = TemplateCatalog(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndisplay_name: Mine\ncategory: own\nversion: '1'\nservices: [{name: a, image: 'a:1'}]\n"
    )
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "gitea.yaml").write_text((tmp_path / "mine.yaml").read_text().replace("mine", "gitea"))
    assert (await catalogue.get("mine")).category == "own"
    assert (await catalogue.get("gitea")).display_name == "Gitea"
    (tmp_path / "mine.yaml").unlink()
    with pytest.raises(NotFound):
        await catalogue.get("mine")


def test_a_path_in_a_container_with_a_colon_is_refused_when_the_template_is_read():
    line = "{name: a, display_name: A, category: c, version: '1', services: [{name: a, image: 'a:1', volumes: [%s]}]}"
    for volume in ("{name: v, path: '/d:ro'}", "{host_path: /srv, path: '/d:/e'}"):
        with pytest.raises(BrokenTemplate, match="must not hold a colon"):
            parse(line % volume, "a.yaml")
        stored = parse(line % "{name: v, path: /d}", "a.yaml").model_dump_json().replace('"/d"', '"/d:ro"')
        assert Template.model_validate_json(stored, context={"stored": True}).services[0].volumes[0].path == "/d:ro"
    compose = "services:\n  one:\n    image: example/one:1\n    volumes: [{type: volume, source: v, target: '/d:ro'}]\n"
    found = read(compose, "casa")[1]
    assert not found.templates and "must not hold a colon" in found.skipped[0][1]
