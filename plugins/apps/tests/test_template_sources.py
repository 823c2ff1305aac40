"""Catalogues from elsewhere: Portainer's format, compose files of CasaOS, and where they may be fetched from."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import hypercorn.asyncio
import pytest
import yaml
from app_node import dangers
from cloudos_apps.templates.formats.common import UnsupportedTemplate
from cloudos_apps.templates.formats.detect import read
from hypercorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from quart import Quart, Response, redirect, request

PORTAINER: dict[str, Any] = {
    "version": "3",
    "templates": [
        {
            "id": 1,
            "type": 1,
            "title": "Example Wiki",
            "description": "Pages that link to each other",
            "categories": ["Documents", "wiki"],
            "platform": "linux",
            "logo": "https://example.org/wiki.png",
            "image": "example/wiki:2.5",
            "command": "serve --title 'A ${title}'",
            "env": [
                {"name": "TITLE", "label": "Title", "default": "Home"},
                {"name": "ADMIN_PASSWORD", "label": "Password"},
                {"name": "MODE", "select": [{"text": "A", "value": "a"}, {"text": "B", "value": "b", "default": True}]},
                {"name": "INTERNAL", "preset": True, "default": "yes"},
            ],
            "ports": ["8080:80/tcp", "53/udp"],
            "volumes": [{"container": "/data"}, {"container": "/etc/zone", "bind": "/etc/zone", "readonly": True}],
            "restart_policy": "always",
        },
        {"id": 2, "type": 3, "title": "A stack", "repository": {"url": "https://example.org/x", "stackfile": "y"}},
        {"id": 3, "type": 1, "title": "Joined", "image": "example/joined", "network": "other"},
        {"id": 4, "type": 1, "title": "Watcher", "image": "example/watcher", "privileged": True,
         "volumes": [{"container": "/var/run/docker.sock", "bind": "/var/run/docker.sock"}]},
    ],
}  # fmt: skip

CASAOS = """
name: notebook
services:
  store:
    image: example/store:15
    environment:
      - STORE_PASSWORD=${STORE_PASSWORD}
      - TZ=$TZ
    volumes: ["store:/var/lib/store"]
    healthcheck: {test: ["CMD", "ready"], interval: 10s, start_period: 1m}
  notebook:
    image: example/notebook:3.1
    container_name: notebook
    depends_on: {store: {condition: service_healthy}}
    deploy: {resources: {limits: {memory: 256M}}}
    environment: {PUID: $PUID, GREETING: "${GREETING:-hello}", PRICE: "5$$", STORE: "http://store:1"}
    ports:
      - {target: 8000, published: "8123", protocol: tcp}
      - "9000:9000/udp"
    volumes:
      - {type: bind, source: /DATA/AppData/$AppID/config, target: /config}
      - /DATA/Media:/media:ro
volumes: {store: {}}
x-casaos:
  main: notebook
  category: Productivity
  port_map: "8123"
  title: {en_us: Notebook}
  tagline: {en_us: Write things down}
"""


def test_a_catalogue_of_portainer_becomes_templates():
    kind, found = read(json.dumps(PORTAINER), "them")
    assert kind == "portainer"
    assert sorted(found.templates) == ["them.example-wiki", "them.watcher"]
    wiki = found.templates["them.example-wiki"]
    (service,) = wiki.services
    assert (wiki.version, wiki.category, service.restart) == ("2.5", "documents", "always")
    assert service.command == ("serve", "--title", "A $${title}")
    assert service.environment["TITLE"] == "${config.TITLE}" and service.environment["INTERNAL"] == "yes"
    fields = {field.name: field for field in wiki.config}
    assert fields["ADMIN_PASSWORD"].secret and fields["MODE"].choices == ("a", "b") and fields["MODE"].default == "b"
    assert [(p.container, p.host, p.protocol) for p in service.ports] == [(80, 8080, "tcp"), (53, None, "udp")]
    assert wiki.web_port == "tcp-80"
    assert dangers(wiki) == ["host_paths"]
    assert dangers(found.templates["them.watcher"]) == ["docker_socket", "privileged"]
    reasons = dict(found.skipped)
    assert "stack" in reasons["A stack"] and "other" in reasons["Joined"]


def test_a_compose_file_of_casaos_becomes_a_template():
    kind, found = read(CASAOS, "casa")
    assert (kind, found.skipped) == ("casaos", [])
    app = found.templates["casa.notebook"]
    main, store = app.services
    assert (main.name, app.display_name, app.version, app.web_port) == ("notebook", "Notebook", "3.1", "tcp-8000")
    assert main.environment == {
        "PUID": "1000",
        "GREETING": "${config.GREETING}",
        "PRICE": "5$",
        "STORE": "http://store:1",
    }
    assert main.depends_on == ("store",) and main.memory_mb == 256
    volumes = {volume.path: (volume.name, volume.host_path, volume.read_only) for volume in main.volumes}
    assert volumes["/media"] == (None, "/DATA/Media", True)
    name, host_path, read_only = volumes["/config"]
    assert name is not None and name.startswith("app-config") and (host_path, read_only) == (None, False)
    assert dangers(app) == ["host_paths"]
    assert store.environment == {"STORE_PASSWORD": "${config.STORE_PASSWORD}", "TZ": "UTC"}
    assert store.healthcheck is not None and (store.healthcheck.interval_s, store.healthcheck.start_period_s) == (
        10,
        60,
    )
    fields = {field.name: field for field in app.config}
    assert fields["STORE_PASSWORD"].secret and fields["STORE_PASSWORD"].required
    assert fields["GREETING"].default == "hello" and not fields["GREETING"].required


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("build: .", "build"),
        ("sysctls: [a=b]", "sysctls"),
        ("security_opt: [seccomp=unconfined]", "security_opt"),
        ("pid: host", "pid"),
        ("network_mode: service:vpn", "service:vpn"),
        ("ports: ['8000-8010:80']", "8000-8010"),
        ("volumes: ['${WHERE}:/data']", "WHERE"),
        ("volumes: [{type: tmpfs, target: /x}]", "tmpfs"),
        ("volumes: ['../up:/x']", "../up"),
        ("depends_on: [nothing]", "nothing"),
        ("networks: {default: {ipv4_address: 10.0.0.9}}", "ipv4_address"),
    ],
)
def test_what_cannot_be_represented_is_left_out_with_the_reason(line, reason):
    _, found = read(f"services:\n  one:\n    image: example/one:1\n    {line}\n", "casa")
    assert not found.templates
    assert reason in found.skipped[0][1]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("volumes: {data: {external: true}}", "volumes.data"),
        ("networks: {proxy: {external: true}}", "networks.proxy"),
        ("include: [other.yaml]", "include"),
    ],
)
def test_an_app_that_reaches_for_what_is_not_its_own_is_left_out(more, reason):
    _, found = read(f"services: {{one: {{image: 'example/one:1'}}}}\n{more}\n", "casa")
    assert not found.templates and reason in found.skipped[0][1]


def test_a_service_is_reached_by_its_other_names_too():
    two = """
services:
  db: {image: 'example/db:1', container_name: wiki-db}
  wiki: {image: 'example/wiki:1', environment: [%s]}
"""
    (app,) = read(two % "HOST=wiki-db", "casa")[1].templates.values()
    assert [service.aliases for service in app.services] == [("wiki-db",), ()]
    _, found = read(two.replace("wiki-db", "wiki") % "HOST=db", "casa")
    assert not found.templates and "both reached as wiki" in found.skipped[0][1]


def test_services_keep_the_names_by_which_they_reach_each_other():
    _, found = read(
        "services: {my_db: {image: 'example/db:1'}, web: {image: 'example/web:1', depends_on: [my_db]}}", "casa"
    )
    (app,) = found.templates.values()
    assert app.start_order() == ["my_db", "web"]


def test_volumes_are_shared_by_their_source_and_by_nothing_else():
    long = "/var/lib/an-application-with-a-long-name"
    text = f"""
services:
  one: {{image: 'example/one:1', volumes: ['{long}/one', '{long}/two', 'shared:/s', 'a_b:/x', 'a-b:/y', /data]}}
  two: {{image: 'example/two:1', volumes: ['shared:/other', /data]}}
"""
    (app,) = read(text, "casa")[1].templates.values()
    one, two = ({volume.path: volume.name for volume in service.volumes} for service in app.services)
    assert one["/s"] == two["/other"]
    assert len({*one.values(), *two.values()}) == len(one) + len(two) - 1


def test_a_bomb_of_aliases_is_refused():
    levels = "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(8))
    with pytest.raises(UnsupportedTemplate, match="aliases"):
        read(f"a: &a [x]\n{levels}\nservices: {{}}\n", "casa")


class Plain(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data):
        return True


MEMBERS = st.sampled_from(
    ["type", "title", "image", "env", "ports", "volumes", "name", "select", "bind", "container", "command", "network"]
) | st.sampled_from(
    ["categories", "services", "environment", "healthcheck", "test", "deploy", "x-casaos", "depends_on", "user"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9**20) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS | st.text(max_size=4), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, max_size=4))
def test_whatever_a_catalogue_of_portainer_holds_is_taken_or_left_out(entries):
    typed = [{**entry, "type": 1} if isinstance(entry, dict) else entry for entry in entries]
    _, found = read(json.dumps({"version": "3", "templates": typed}), "them")
    assert len(found.templates) + len(found.skipped) == len(typed)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_whatever_a_compose_file_holds_is_taken_or_left_out(service):
    document = yaml.dump({"services": {"one": service}, "x-casaos": service}, Dumper=Plain)
    _, found = read(document, "casa")
    assert len(found.templates) + len(found.skipped) == 1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_other_text_is_refused(text):
    with pytest.raises(UnsupportedTemplate):
        read(text, "them")


@pytest.fixture
async def shop():
    """Serve a catalogue on loopback."""
    app, stop = Quart("shop"), asyncio.Event()
    app.document, app.down, app.asked = PORTAINER, False, []

    @app.get("/templates.json")
    async def templates():
        app.asked.append(request.headers.get("If-None-Match"))
        if app.down:
            return Response(b"", 500)
        body = json.dumps(app.document)
        tag = f'"{len(body)}"'
        if request.headers.get("If-None-Match") == tag:
            return Response(status=304)
        return Response(body, headers={"ETag": tag}, content_type="application/json")

    @app.get("/moved")
    async def moved():
        return redirect("/templates.json")

    @app.get("/circle")
    async def circle():
        return redirect("/circle")

    @app.get("/huge")
    async def huge():
        return Response(b"x" * 6_000_000)

    config = Config()
    config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
    (listening,) = config.create_sockets().insecure_sockets
    listening.listen(20)
    app.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config.bind = [f"fd://{listening.fileno()}"]
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    yield app
    stop.set()
    await serving


async def add(host, status=201, client=None, **body):
    answer = await (client or host.client).post("/api/templates/sources", json={"name": "them", **body})
    found = await answer.get_json()
    assert answer.status_code == status, found
    return found


async def test_a_source_by_url_serves_its_templates_also_without_the_network(cloudos, shop):
    host = await cloudos("apps", settings={"apps": {"template_sources_allow_private": True}})
    url = shop.url.replace("://", "://me:hush@") + "/moved?key=hush"
    source = await add(host, url=url)
    assert (source["format"], source["templates"], source["skipped"], source["error"]) == ("portainer", 2, 2, None)
    assert "hush" not in json.dumps(source) and "***@" in source["url"]
    assert {entry["name"] for entry in source["left_out"]} == {"A stack", "Joined"}
    assert (await add(host, 409, url=url))["error"] == "source_name_taken"
    template = await (await host.viewer.get("/api/templates/them.example-wiki")).get_json()
    assert template["source"] == "them" and template["dangers"] == ["host_paths"]
    shop.down = True
    await host.restart()
    assert (await host.client.get("/api/templates/them.example-wiki")).status_code == 200
    refreshed = await (await host.client.post(f"/api/templates/sources/{source['id']}/refresh")).get_json()
    assert "500" in refreshed["error"] and refreshed["templates"] == 2
    shop.down = False
    await host.client.post(f"/api/templates/sources/{source['id']}/refresh")
    assert shop.asked[-1] is not None, "what was fetched before is asked for by its tag"
    shop.document = {"version": "3", "templates": PORTAINER["templates"][3:]}
    await host.run_job("apps", "refresh-template-sources")
    (listed,) = await (await host.client.get("/api/templates/sources")).get_json()
    assert (listed["templates"], listed["skipped"], listed["error"]) == (1, 0, None)
    assert (await host.client.get("/api/templates/them.example-wiki")).status_code == 404
    assert (await host.client.delete(f"/api/templates/sources/{source['id']}")).status_code == 204
    assert (await host.client.get("/api/templates/them.watcher")).status_code == 404
    types = [event.type for event in await host.event_log() if event.type.startswith("template_source.")]
    assert types == ["template_source.added", "template_source.refreshed", "template_source.removed"]
    assert not any("hush" in str(event) for event in await host.event_log())


async def test_a_source_as_text_and_only_for_admins(cloudos):
    host = await cloudos("apps")
    await add(host, 403, client=host.operator, content=CASAOS)
    source = await add(host, content=CASAOS)
    assert (source["format"], source["templates"], source["url"]) == ("casaos", 1, None)
    answer = await host.client.post(f"/api/templates/sources/{source['id']}/refresh")
    assert (answer.status_code, (await answer.get_json())["error"]) == (409, "source_has_no_url")
    for path in ("/api/templates/sources/tsrc_none", "/api/templates/sources/tsrc_none/refresh"):
        method = host.client.post if path.endswith("refresh") else host.client.get
        assert (await method(path)).status_code == 404


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"url": "ftp://example.org/x"}, "http or https"),
        ({"url": "http://127.0.0.1:9/x"}, "private"),
        ({"url": "http://[::1]:9/x"}, "private"),
        ({"url": "http://[::ffff:127.0.0.1]:9/x"}, "private"),
        ({"url": "http://[64:ff9b::7f00:1]:9/x"}, "private"),
        ({"url": "http://169.254.169.254/x"}, "private"),
        ({"url": "http://localhost:9/x"}, "private"),
        ({"url": "http://[broken"}, "http or https"),
        ({"content": "hello"}, "neither"),
        ({"content": "{"}, "JSON"),
        ({"content": '{"version": "1", "templates": []}'}, "version"),
        ({"content": "services: {one: {build: .}}"}, "build"),
        ({}, "either"),
        ({"url": "http://example.org", "content": "x"}, "either"),
        ({"name": "Not A Name", "content": "x"}, "is not in the form"),
    ],
)
async def test_a_source_that_cannot_be_is_400_and_says_why(cloudos, body, word):
    host = await cloudos("apps")
    refused = await add(host, 400, **body)
    assert refused["error"] == "invalid_request" and word in refused["message"]
    assert await (await host.client.get("/api/templates/sources")).get_json() == []


async def test_a_catalogue_without_templates_does_not_replace_the_one_before(cloudos, shop):
    host = await cloudos("apps", settings={"apps": {"template_sources_allow_private": True}})
    source = await add(host, url=f"{shop.url}/templates.json")
    shop.document = {"version": "3", "templates": []}
    refreshed = await (await host.client.post(f"/api/templates/sources/{source['id']}/refresh")).get_json()
    assert refreshed["templates"] == 2 and "empty" in refreshed["error"]


async def test_a_text_may_be_longer_than_other_requests(cloudos):
    host = await cloudos("apps")
    headers = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    padded = json.dumps({"name": "them", "content": json.dumps({**PORTAINER, "padding": "x" * 3_000_000})})
    client = host.host.app.test_client()
    for announced in ({}, {"Content-Length": str(len(padded))}):
        name = f"them-{len(announced)}"
        body = padded.replace('"them"', json.dumps(name)).encode()
        announced = {key: str(len(body)) for key in announced}
        answer = await client.post("/api/templates/sources", data=body, headers={**headers, **announced})
        assert answer.status_code == 201, await answer.get_data()
    longer = b'{"content": "' + b"x" * 5_600_000 + b'"}'
    answer = await client.post("/api/templates/sources", data=longer, headers=headers)
    assert (answer.status_code, (await answer.get_json())["error"]) == (413, "body_too_large")


async def test_what_is_too_large_or_leads_nowhere_is_refused(cloudos, shop):
    host = await cloudos("apps", settings={"apps": {"template_sources_allow_private": True}})
    assert "larger" in (await add(host, 400, url=f"{shop.url}/huge"))["message"]
    assert "redirected" in (await add(host, 400, url=f"{shop.url}/circle"))["message"]
    assert "404" in (await add(host, 400, url=f"{shop.url}/none"))["message"]


async def test_an_app_from_a_compose_file_runs_and_outlives_its_source(node):
    image = node.engine.image("web:1.0")
    compose = f"""
services:
  page:
    image: {image}
    environment: {{GREETING: "${{GREETING:-from afar}}"}}
    ports: ["8000"]
    volumes: ["data:/data"]
    mem_limit: 64m
x-casaos: {{title: {{en_us: Page}}}}
"""
    source = await add(node.host, content=compose)
    app = await node.install("them.page", "page", config={"GREETING": "afar"})
    assert await node.fetch(app) == "hello from afar"
    assert (await node.client.delete(f"/api/templates/sources/{source['id']}")).status_code == 204
    assert (await node.client.post(f"/api/apps/{app['id']}/restart")).status_code == 200
    answer = await node.client.put(f"/api/apps/{app['id']}", json={"config": {"GREETING": "near"}})
    assert answer.status_code == 202, await answer.get_json()
    await node.event("app.updated", 20)
    assert await node.fetch(await node.app(app["id"])) == "hello from near"
