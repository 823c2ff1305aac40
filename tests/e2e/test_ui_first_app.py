"""From a bare node to the first app, by a browser alone; and an app that breaks and is mended there."""

import re
import time

import pytest
from components.environments import serving
from components.ports import free_port
from e2e.test_first_app import CLOUDOS
from playwright.sync_api import expect

TEMPLATE = """
name: web
display_name: Web page
description: A page that says hello
category: websites
version: "1.0"
icon: web.svg
web_port: web
services:
  - name: web
    image: {image}
    environment: {{GREETING: "${{config.greeting}}", TOKEN: "${{secret.token}}"}}
    ports: [{{name: web, container: 8000}}]
    volumes: [{{name: data, path: /data}}]
    memory_mb: 64
config:
  - {{name: greeting, label: Greeting, type: string, required: true, max_length: 40}}
  - {{name: token, label: Token, type: password, required: true, secret: true, min_length: 10}}
"""
WHO = {"username": "ada", "password": "correct horse battery"}


@pytest.fixture(scope="module")
def bare_node(tmp_path_factory, docker_engine):
    folder = tmp_path_factory.mktemp("bare") / "data"
    image = docker_engine.image("web:1.0")
    if docker_engine.names("images", "-q", image):
        docker_engine.cli("rmi", "-f", image)  # so that the install has to pull
    (folder / "apps" / "templates").mkdir(parents=True)
    (folder / "apps" / "templates" / "web.yaml").write_text(TEMPLATE.format(image=image))
    environ = {
        "CLOUDOS_APPS__DOCKER_HOST": docker_engine.host,
        "CLOUDOS_HOST__DISABLED": '["proxy"]',
        "CLOUDOS_HOST__DATABASE_URL": "",
    }
    environ.pop("CLOUDOS_HOST__DATABASE_URL")
    command = [CLOUDOS, "serve", "--port", str(free_port()), "--data-dir", folder]
    with serving(command, **environ) as server:
        yield server
    docker_engine.clean()


def fill_in(page, **more):
    page.get_by_label("User name").fill(WHO["username"])
    page.get_by_label("Password", exact=True).fill(WHO["password"])


def test_from_a_bare_node_to_the_first_app_opened(bare_node, person, docker_engine):
    began = time.monotonic()
    page = person(bare_node.url)
    page.goto(bare_node.url)
    expect(page.get_by_role("heading", name="Welcome to Cloud OS")).to_be_visible()
    fill_in(page)
    page.get_by_label("Password, once more").fill(WHO["password"])
    page.get_by_role("button", name="Create the account").click()

    page.get_by_role("link", name="To the app store").click()
    expect(page.get_by_role("heading", name="App store")).to_be_focused()
    page.get_by_role("searchbox", name="Search apps").fill("says hello")
    page.get_by_role("link", name=re.compile("Web page")).click()
    page.get_by_role("button", name="Install an app").click()
    expect(page.get_by_label("Greeting")).to_be_focused()
    expect(page.get_by_text("This is needed.")).to_be_visible()
    page.get_by_label("Greeting").fill("good evening")
    page.get_by_role("button", name="Install an app").click()

    expect(page.get_by_text("web is installed and runs.")).to_be_visible(timeout=90_000)
    assert len(page.get_by_label("Token").input_value()) >= 20, "the password that was made is shown once"
    link = page.get_by_role("link", name="Open web")
    page.watch.allow(link.get_attribute("href"))
    with page.context.expect_page() as opened:
        link.click()
    opened.value.wait_for_load_state()
    assert "good evening" in opened.value.inner_text("body")
    assert opened.value.evaluate("document.cookie + JSON.stringify(localStorage)").find("cloudos") < 0
    opened.value.close()
    assert time.monotonic() - began < 180

    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("region", name="Apps").get_by_role("link", name="Open web")).to_be_visible()


def test_an_app_that_breaks_is_understood_and_mended(bare_node, person, docker_engine):
    page = person(bare_node.url)
    page.goto(f"{bare_node.url}/apps")
    fill_in(page)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="web", exact=True).click()
    expect(page.get_by_role("main").get_by_text("Running", exact=True)).to_be_visible()
    [container] = docker_engine.names("ps", "-q", "--filter", "label=cloudos.app")
    docker_engine.cli("kill", container)
    expect(page.get_by_role("main").get_by_text("Crashed").first).to_be_visible()
    expect(page.get_by_role("region", name="Its last lines")).to_contain_text("serving")
    expect(page.get_by_role("heading", name="What changed before")).to_be_visible()
    page.get_by_role("button", name="Events").click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("serving")
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_label("Greeting").fill("good morning")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The app is being changed.")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("main").get_by_text("Running", exact=True)).to_be_visible(timeout=60_000)

    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_label("Delete its data too").check()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_label("Type web to go on").fill("web")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("web was removed.")).to_be_visible(timeout=60_000)
    assert docker_engine.names("ps", "-aq", "--filter", "label=cloudos.app") == []
