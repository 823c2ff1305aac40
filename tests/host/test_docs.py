"""The pages for operators say what the code does."""

from pathlib import Path

from cloudos_host.cli.main import cli
from cloudos_host.cli.settings_page import settings_page
from cloudos_host.config import HostSettings
from cloudos_host.plugins.discovery import discover

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_of_the_host_is_documented_with_its_description():
    page = (DOCS / "operator" / "configuration.md").read_text()
    for name, field in HostSettings.model_fields.items():
        assert f"| `{name}` |" in page
        assert field.description in page


def test_the_page_of_the_plugins_settings_is_what_the_code_says(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    first_party = [found for found in discover() if found.distribution == f"cloudos-{found.id}"]
    page = (DOCS / "operator" / "plugin-settings.md").read_text()
    assert page == settings_page(first_party), "cloudos settings > docs/operator/plugin-settings.md"
    for line in page.splitlines():
        assert not line.endswith("|  |"), f"a setting without a description: {line}"


def test_every_command_of_the_host_is_documented():
    page = (DOCS / "operator" / "command-line.md").read_text()
    for name, command in cli.commands.items():
        for full in [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]:
            assert f"`cloudos {full}" in page


def test_every_decision_is_in_the_index_under_its_title_and_has_a_number_of_its_own():
    index = (DOCS / "decisions" / "index.md").read_text()
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert f"[{page.read_text().splitlines()[0].removeprefix('# ')}]({page.name})" in index


def test_links_between_pages_lead_somewhere():
    import re

    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
