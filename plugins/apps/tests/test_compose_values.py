"""Compose files as the specification has them: scalars, variables, quantities, ports, what a service waits for."""

from __future__ import annotations

import json
import time

import pytest
from cloudos_apps.templates.formats.detect import read
from cloudos_apps.templates.model.substitution import escape, joined, parse, substitute
from cloudos_apps.templates.model.template import render, validate_config
from hypothesis import given
from hypothesis import strategies as st


def app_of(services, **top):
    """Return the template of services, as YAML texts or plain values."""
    document = services if isinstance(services, str) else json.dumps({"services": services, **top})
    _, found = read(document, "own")
    assert found.skipped == [], found.skipped
    (template,) = found.templates.values()
    return template


def one(text):
    """Return the only service of a template whose service has these lines."""
    (service,) = app_of("services:\n  one:\n    image: example/one:1\n" + indented(text)).services
    return service


def indented(text):
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


def reason(text, top=""):
    _, found = read("services:\n  one:\n    image: example/one:1\n" + indented(text) + top, "own")
    assert not found.templates
    return found.skipped[0][1]


def rendered(template, **settings):
    return {s.name: s for s in render(template, "mine", validate_config(template, settings), {})}


def test_scalars_are_those_of_yaml_1_2():
    service = one("""
user: 33:33
restart: no
ports: [22:22, 3306]
environment:
  AT: 06:45
  YES: yes
  OFF: off
  MASK: 022
  VERSION: 1.10
  HEX: 0x1F
  DAY: 2024-01-02
  UNDER: 1_000
  FLAG: true
  COUNT: 12
  RATIO: 0.5
""")
    assert service.user == "33:33" and service.restart == "no"
    assert [(port.container, port.host) for port in service.ports] == [(22, 22), (3306, None)]
    assert service.environment == {
        "AT": "06:45", "YES": "yes", "OFF": "off", "MASK": "022", "VERSION": "1.10", "HEX": "0x1F",
        "DAY": "2024-01-02", "UNDER": "1_000", "FLAG": "true", "COUNT": "12", "RATIO": "0.5",
    }  # fmt: skip


def test_anchors_and_merges_are_read():
    template = app_of("""
x-common: &common {restart: always, x-note: mine}
services:
  one: {<<: *common, image: 'example/one:1'}
""")
    assert template.services[0].restart == "always"


def test_a_byte_order_mark_and_json_are_read():
    services = {"one": {"image": "example/one:1", "environment": {"A": "b"}}}
    assert app_of("\ufeff" + json.dumps({"services": services})).services[0].environment == {"A": "b"}
    assert app_of("\ufeffservices: {one: {image: 'example/one:1'}}").services[0].name == "one"


def test_two_dollars_are_one_wherever_they_stand():
    service = one("""
healthcheck: {test: ["CMD-SHELL", "test -n $${SHELF} -a $$HOME"]}
command: ["$$$${A}", "cost$$", "$$${NAME:-x}"]
""")
    template = app_of("""
services:
  one:
    image: example/one:1
    healthcheck: {test: ["CMD-SHELL", "test -n $${SHELF} -a $$HOME"]}
    command: ["$$$${A}", "cost$$", "$$${NAME:-x}"]
""")
    assert service.healthcheck is not None
    found = rendered(template)["one"]
    assert found.healthcheck.test == ("CMD-SHELL", "test -n ${SHELF} -a $HOME")
    assert found.command == ("$${A}", "cost$", "$x")


def test_every_form_of_a_variable_is_read():
    template = app_of("""
services:
  one:
    image: example/${IMAGE:-one}:${TAG-1}
    environment:
      GRAIN: ${GRAIN:?say which grain}
      SIEVE: ${SIEVE:-${GRAIN:-rye}}
      URL: postgres://${WHO:-me}@${HOST:-db}/${BASE-}
      FIRST: ${MODE:-a}
      SECOND: ${MODE:-b}
      WITH: ${EXTRA:+--extra=${EXTRA}}
      PLAIN: $PLAIN
      PASSED:
""")
    fields = {field.name: field for field in template.config}
    assert fields["GRAIN"].required and fields["GRAIN"].label == "say which grain"
    assert [name for name, field in fields.items() if field.required] == ["GRAIN", "PLAIN"]
    assert (fields["WHO"].default, fields["MODE"].default, fields["SIEVE"].default) == ("me", None, None)
    assert template.services[0].image == "example/one:1"
    found = rendered(template, GRAIN="oat", PLAIN="p")["one"].environment
    assert found == {
        "GRAIN": "oat", "SIEVE": "oat", "URL": "postgres://me@db/", "FIRST": "a", "SECOND": "b", "WITH": "",
        "PLAIN": "p",
    }  # fmt: skip
    found = rendered(template, GRAIN="oat", PLAIN="p", SIEVE="s", MODE="c", EXTRA="e", PASSED="x", HOST="h")["one"]
    assert (found.environment["SIEVE"], found.environment["SECOND"]) == ("s", "c")
    assert (found.environment["WITH"], found.environment["PASSED"]) == ("--extra=e", "x")
    assert found.environment["URL"] == "postgres://me@h/"


@pytest.mark.parametrize("text", ["${", "${A", "${A:", "${A:-b", "${9}", "${A.b}", "${A:-${B}", "${A/b/c}", "${}"])
def test_a_variable_that_cannot_be_read_is_a_reason(text):
    said = reason(f"environment: {{KEY: '{text}'}}")
    assert "the service one" in said and "KEY" in said and "$$" in said


@given(st.text("${}a:-", max_size=12))
def test_an_escaped_text_stands_for_itself(text):
    assert substitute(escape(text), {}) == text
    assert joined(parse(escape(text))) == escape(text)


@pytest.mark.parametrize(
    ("given", "bytes"),
    [("1.5g", 1536), ("512M", 512), ("64 MiB", 64), ("67108864", 64), ("65536k", 64), ("1gb", 1024), ("1t", 2**20)],
)
def test_sizes(given, bytes):
    assert one(f"mem_limit: {given}").memory_mb == bytes


@pytest.mark.parametrize(
    ("given", "seconds"), [("1m30s", 90), ("1.5h", 5400), ("500ms", 0.5), ("2s500ms", 2.5), ("1d", 86400), ("90s", 90)]
)
def test_durations(given, seconds):
    check = one(f"healthcheck: {{test: ok, interval: {given}}}").healthcheck
    assert check is not None and check.interval_s == pytest.approx(seconds)


def test_no_limit_is_invented_and_those_of_deploy_are_kept():
    service = one("tty: true")
    assert (service.memory_mb, service.cpus) == (None, None)
    service = one("""
deploy:
  replicas: 1
  labels: {a: b}
  x-mine: {}
  restart_policy: {condition: on-failure, max_attempts: 4, delay: 5s}
  resources:
    limits: {cpus: '3', memory: 5g, pids: 100}
    reservations: {cpus: '0.5', memory: 2g}
""")
    assert (service.cpus, service.memory_mb, service.memory_reservation_mb, service.pids_limit) == (3, 5120, 2048, 100)
    assert (service.restart, service.restart_retries) == ("on-failure", 4)
    service = one("restart: on-failure:3\nmem_limit: 0\ncpus: 1.5\nmem_reservation: 64m")
    assert (service.restart_retries, service.memory_mb, service.cpus) == (3, None, 1.5)
    assert service.memory_reservation_mb == 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("deploy: {replicas: 3}", "replicas"),
        ("scale: 2", "scale"),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "GPU"),
        ("deploy: {resources: {limits: {gpus: 1}}}", "gpus"),
        ("ports: ['80/sctp']", "sctp"),
        ("ports: ['192.168.7.7:80:80']", "another machine"),
        ("ports: ['3000-4000:3000-4000']", "range"),
        ("mem_limit: lots", "512m"),
        ("healthcheck: {test: ok, interval: soon}", "30s"),
        ("volumes: ['a:/b:rshared']", "a:/b:rshared"),
        ("environment: {A: [1]}", "no text"),
        ("restart: sometimes", "services.one.restart"),
    ],
)
def test_what_cannot_be_represented_is_named_with_its_service(text, why):
    said = reason(text)
    assert why in said and "one" in said


def test_ports_in_all_their_forms():
    service = one("""
ports:
  - 9402:9402/UDP
  - "7000-7002:8000-8002"
  - "3000-3001"
  - "127.0.0.1:5001:5001"
  - "0.0.0.0:5002:5002"
  - "[::1]:5003:5003"
  - {target: 5004, published: "15004", protocol: UDP, host_ip: 127.0.0.1, mode: host, x-a: 1}
""")
    assert [(p.host, p.container, p.protocol, p.address) for p in service.ports] == [
        (9402, 9402, "udp", None),
        (7000, 8000, "tcp", None), (7001, 8001, "tcp", None), (7002, 8002, "tcp", None),
        (None, 3000, "tcp", None), (None, 3001, "tcp", None),
        (5001, 5001, "tcp", "127.0.0.1"), (5002, 5002, "tcp", None), (5003, 5003, "tcp", "::1"),
        (15004, 5004, "udp", "127.0.0.1"),
    ]  # fmt: skip


def test_a_long_value_is_whole_or_refused():
    yarn = "knot-" * 900 + "END"
    assert one(f"environment: {{YARN: '{yarn}'}}").environment["YARN"] == yarn
    assert one(f"command: ['{yarn}']").command == (yarn,)
    assert "default" in reason(f"environment: {{YARN: '${{YARN:-{yarn * 2}}}'}}")
    assert "longer than" in reason(f"environment: {{YARN: '{yarn * 60}'}}")


def test_names_by_which_a_service_is_reached():
    template = app_of("""
services:
  forge: {image: 'example/smith-forge-x:1', container_name: smith-forge, networks: {yard: {aliases: [fire], x-a: 1}}}
  bellows: {image: 'example/smith-forge:2', environment: {FORGE: 'smith-forge:7000'}}
networks: {yard: }
""")
    assert [service.aliases for service in template.services] == [("smith-forge", "fire"), ()]


def test_checks_that_are_switched_off_or_only_timed():
    for text in ("healthcheck: {disable: true}", "healthcheck: {test: [NONE]}"):
        check = one(text).healthcheck
        assert check is not None and check.test == ("NONE",)
    check = one("healthcheck: {interval: 7s, retries: 9}").healthcheck
    assert check is not None and (check.test, check.interval_s, check.retries) == ((), 7, 9)


async def test_a_service_starts_when_the_one_that_it_waits_for_has_done_its_work(node):
    image = node.engine.image("web:1.0")
    template = app_of(
        {
            "press": {
                "image": image,
                "depends_on": {"wash": {"condition": "service_completed_successfully"}},
                "volumes": ["water:/water"],
                "command": ["sh", "-c", "test -e /water/washed && sleep 1000"],
                "container_name": "the-press",
            },
            "wash": {
                "image": image,
                "user": "0:0",
                "volumes": ["water:/water"],
                "command": ["sh", "-c", "sleep 2; touch /water/washed"],
            },
        }
    )
    node.offer(template)
    app = await node.install(template.name, "orchard")
    assert app["status"] == "running"
    wash = next(name for name in node.containers(app["id"]) if "-wash-" in name)
    assert node.engine.cli("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", wash).split() == ["exited", "0"]
    press = next(name for name in node.containers(app["id"]) if "-press-" in name)
    host = node.engine.cli("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", press).split()
    assert host == ["0", "0"]
    assert "the-press" in node.engine.cli("inspect", "-f", "{{json .NetworkSettings.Networks}}", press)


async def test_an_install_fails_where_that_work_fails(node):
    image = node.engine.image("web:1.0")
    template = app_of(
        {
            "press": {"image": image, "depends_on": {"wash": {"condition": "service_completed_successfully"}}},
            "wash": {"image": image, "command": ["sh", "-c", "exit 3"]},
        }
    )
    node.offer(template)
    _, app = await node.post({"template": template.name, "name": "orchard"})
    operation = (await node.events("app.install_failed")) or [await node.event("app.install_failed")]
    assert "exit code 3" in operation[0].data["reason"] and app["name"] == "orchard"


def test_a_run_of_dollars_takes_no_longer_than_it_is_long():
    from cloudos_apps.templates.model import substitution

    start = time.process_time()
    text = "$" * 400_000
    assert substitution.parse(text) == (text,)
    assert substitution.parse(substitution.escape(text)) == (text,)
    assert time.process_time() - start < 2
