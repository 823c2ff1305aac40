"""Domains and their certificates, from an ACME server that really issues."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from certifying import add, events, make_pair, served, shown, ssl_of, until_status
from cloudos_proxy.caddy.config.tls import tls_app
from cloudos_proxy.domains import tls_config
from cloudos_sdk.capabilities import AppAddress, Apps, MetricSource
from cloudos_sdk.testing.contracts import check_metric_source
from cloudos_sdk.testing.fakes import FakeApps, providing
from components.ports import free_ports


async def test_a_domain_is_answered_as_printed_and_ends_in_a_certificate_without_a_further_call(
    door_node, backend, pebble
):
    app = await backend("gitea")
    apps = FakeApps(AppAddress("app_abc123", "gitea", "running", app.addr))
    node = await door_node(providing(Apps, apps), **pebble.settings)
    body = {"domain": "Cloud.Example.test.", "app_id": "app_abc123", "auto_ssl": True}
    status, made = await node.call("POST", "/api/domains", body, client=node.host.operator)
    assert status == 201
    assert made["id"].startswith("dom_")
    assert made == {
        "id": made["id"],
        "domain": "cloud.example.test",
        "app_id": "app_abc123",
        "ssl": {"status": "provisioning", "provider": "acme"},
        "created_at": "2026-01-01T00:00:00Z",
    }
    found = await until_status(node, made["id"], "valid")
    assert found["issuer"].startswith("Pebble Intermediate CA")
    assert found["days_left"] > 100 and found["error"] is None
    assert found["dns"]["found"] == ["127.0.0.1"]
    certificate = await asyncio.to_thread(served, node, "cloud.example.test", pebble.trust())
    assert f"{certificate.serial_number:x}" == found["serial"]
    answer = await node.visit("cloud.example.test", "/x")
    assert answer.status == 308, "plain HTTP leads to HTTPS"
    (issued,) = await events(node, "certificate.issued")
    assert (issued.resource, issued.data["domain"]) == (made["id"], "cloud.example.test")
    _, listed = await node.call("GET", "/api/domains")
    assert listed == [{**made, "ssl": {"status": "valid", "provider": "acme"}}]
    source = node.host.ctx("proxy").use(MetricSource)
    await check_metric_source(source)
    (sample,) = await source.sample()
    assert sample.labels == (("domain", "cloud.example.test"),) and sample.value > 100


async def test_the_default_is_lets_encrypt(door_node, pebble):
    more = {"acme_directory": "https://acme-v02.api.letsencrypt.org/directory", "public_addresses": ["192.0.2.7"]}
    node = await door_node(**{**pebble.settings, **more})
    assert (await add(node, "cloud.example.test"))["ssl"]["provider"] == "letsencrypt"


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
async def test_each_challenge_works_alone(door_node, pebble, challenge):
    node = await door_node(**pebble.settings)
    made = await add(node, f"{challenge}.cloud.test", challenge=challenge)
    await until_status(node, made["id"], "valid")


async def test_a_name_that_leads_elsewhere_fails_in_words_and_asks_for_nothing_until_it_is_mended(door_node, pebble):
    pebble.point("astray.cloud.test", "127.0.0.9")
    node = await door_node(**pebble.settings, public_addresses=["127.0.0.1"])
    before = pebble.orders()
    made = await add(node, "astray.cloud.test")
    found = await until_status(node, made["id"], "failed")
    assert found["error_code"] == "dns_elsewhere"
    assert "astray.cloud.test points to 127.0.0.9, and this node is 127.0.0.1" in found["error"]
    assert found["dns"] == {
        "points_here": False,
        "found": ["127.0.0.9"],
        "expected": ["127.0.0.1"],
        "detail": found["error"],
    }
    await asyncio.sleep(2.5)
    assert pebble.orders() == before, "no rate limit is spent on it"
    (failed,) = await events(node, "certificate.failed")
    assert failed.data["reason"] == "dns_elsewhere"
    pebble.point("astray.cloud.test", "127.0.0.1")
    assert (await until_status(node, made["id"], "valid"))["error"] is None


async def test_what_the_authority_refuses_is_told_in_words(door_node, pebble):
    pebble.point("shut.cloud.test", "127.0.0.9")
    node = await door_node(**pebble.settings)  # its public addresses are not told, so DNS alone proves nothing
    made = await add(node, "shut.cloud.test")
    found = await until_status(node, made["id"], "failed")
    assert found["error_code"] == "dns_elsewhere"
    assert "points to 127.0.0.9" in found["error"] and "The certificate authority says:" in found["error"]
    assert len(await events(node, "certificate.failed")) == 1


async def test_certificates_outlive_a_restart_without_a_new_order(door_node, pebble):
    node = await door_node(**pebble.settings)
    made = await add(node, "kept.cloud.test")
    first = await until_status(node, made["id"], "valid")
    orders = pebble.orders()
    await node.host.restart()
    certificate = await node.until(lambda: asyncio.to_thread(shown, node, "kept.cloud.test", pebble.trust()))
    assert f"{certificate.serial_number:x}" == first["serial"]
    await asyncio.sleep(1.5)
    assert (await ssl_of(node, made["id"]))["serial"] == first["serial"]
    assert pebble.orders() == orders
    assert len(await events(node, "certificate.issued")) == 1


async def test_a_certificate_is_renewed_served_and_told_and_no_handshake_fails(door_node, pebble, monkeypatch):
    def soon(*values):
        """Pebble's certificates last for years: have Caddy think at each look that the time to renew has come."""
        app = tls_app(*values)
        if app:
            app["automation"]["renew_interval"] = "2s"
            for policy in app["automation"]["policies"]:
                policy["renewal_window_ratio"] = 0.99999997
        return app

    monkeypatch.setattr(tls_config, "tls_app", soon)
    node = await door_node(**pebble.settings)
    made = await add(node, "renewed.cloud.test")
    first = await until_status(node, made["id"], "valid")
    trust = pebble.trust()

    async def renewed():
        certificate = await asyncio.to_thread(served, node, "renewed.cloud.test", trust)
        told = (await ssl_of(node, made["id"]))["serial"]
        return first["serial"] not in (told, f"{certificate.serial_number:x}")

    await node.until(renewed, 30)
    issued = await events(node, "certificate.issued")
    assert len(issued) >= 2 and {event.resource for event in issued} == {made["id"]}
    assert await events(node, "certificate.failed") == []


async def test_caddys_own_authority_serves_names_that_no_public_one_knows(door_node, backend):
    inside = await backend("inside")
    node = await door_node(providing(Apps, FakeApps(AppAddress("app_1", "inside", "running", inside.addr))))
    made = await add(node, "blog.home.test", app_id="app_1", issuer="internal")
    assert made["ssl"]["provider"] == "internal"
    found = await until_status(node, made["id"], "valid", "expiring_soon")
    assert found["dns"] is None
    root = (node.host.ctx("proxy").data_dir / "caddy" / "pki" / "authorities" / "local" / "root.crt").read_text()
    trust = ssl.create_default_context(cadata=root)
    await node.until(lambda: asyncio.to_thread(shown, node, "blog.home.test", trust))


@pytest.mark.parametrize("name", ["", "no dots", "-x.example.test", "10.0.0.1", "a..b", "x" * 64 + ".test", "a/b.test"])
async def test_a_name_that_is_none_is_400(door_node, name):
    node = await door_node()
    status, problem = await node.call("POST", "/api/domains", {"domain": name})
    assert (status, problem["fields"][0]["path"]) == (400, "domain")


async def test_conflicts_and_what_is_missing_here_are_named(door_node):
    node = await door_node()
    made = await add(node, "shop.example.test", auto_ssl=False)
    assert made["ssl"] == {"status": "disabled", "provider": None}
    status, problem = await node.call("POST", "/api/domains", {"domain": "SHOP.example.test"})
    assert (status, problem["error"], problem["domain_id"]) == (409, "domain_exists", made["id"])
    status, problem = await node.call("POST", "/api/domains", {"domain": "*.example.test"})
    assert (status, problem["fields"][0]["path"]) == (400, "challenge")
    status, problem = await node.call("POST", "/api/domains", {"domain": "*.example.test", "challenge": "dns-01"})
    assert (status, problem["error"]) == (501, "dns_provider_missing")
    status, problem = await node.call("POST", "/api/domains", {"domain": "a.example.test", "app_id": "app_none"})
    assert status in (400, 503)
    status, problem = await node.call("GET", "/api/domains/dom_none/ssl")
    assert (status, problem["error"]) == (404, "domain_not_found")


async def test_dns_01_without_the_module_is_501_and_names_it(door_node):
    node = await door_node(acme_dns_provider={"name": "cloudflare", "api_token": "x"})
    status, problem = await node.call("POST", "/api/domains", {"domain": "*.example.test", "challenge": "dns-01"})
    assert (status, problem["error"], problem["module"]) == (501, "caddy_module_missing", "dns.providers.cloudflare")


async def until_visit(node, met):
    """Wait for an answer: for some milliseconds after a load, Caddy's old server may take a connection still."""

    async def visited():
        return met(await node.visit("shop.example.test"))

    await node.until(visited)


async def test_a_domain_is_changed_and_removed(door_node, backend):
    one, two = await backend("one"), await backend("two")
    apps = FakeApps(AppAddress("app_1", "one", "running", one.addr), AppAddress("app_2", "two", "running", two.addr))
    node = await door_node(providing(Apps, apps))
    made = await add(node, "shop.example.test", app_id="app_1", auto_ssl=False)
    assert (await node.visit("shop.example.test")).json["name"] == "one"
    status, changed = await node.call("PUT", f"/api/domains/{made['id']}", {"app_id": "app_2"})
    assert (status, changed) == (200, {**made, "app_id": "app_2"})
    await until_visit(node, lambda answer: answer.json["name"] == "two")
    refused = await node.call("PUT", f"/api/domains/{made['id']}", {}, client=node.host.viewer)
    assert refused[0] == 403
    certificate, key = make_pair("shop.example.test")
    body = {"certificate": certificate, "private_key": key}
    _, changed = await node.call("PUT", f"/api/domains/{made['id']}", body)
    assert changed["ssl"] == {"status": "valid", "provider": "uploaded"}
    await until_visit(node, lambda answer: answer.status == 308)
    assert (await node.call("DELETE", f"/api/domains/{made['id']}"))[0] == 204
    await until_visit(node, lambda answer: answer.status == 404)
    assert (await node.call("DELETE", f"/api/domains/{made['id']}"))[0] == 404
    kinds = [event.type for event in await events(node, "domain.added", "domain.changed", "domain.removed")]
    assert kinds == ["domain.added", "domain.changed", "domain.changed", "domain.removed"]


async def test_a_staged_route_stays_staged_when_a_domain_is_added(door_node, backend):
    one = await backend("one")
    node = await door_node(providing(Apps, FakeApps(AppAddress("app_1", "one", "running", one.addr))))
    await node.route("staged.example.test", one.addr)
    await add(node, "shop.example.test", app_id="app_1", auto_ssl=False)
    assert (await node.visit("shop.example.test")).status == 200
    assert (await node.visit("staged.example.test")).status == 404


async def test_ports_that_cannot_be_had_are_told_as_the_reason(door_node, pebble):
    with socket.create_server(("127.0.0.1", pebble.http_port)):
        node = await door_node(**pebble.settings)
        made = await add(node, "late.cloud.test")
        found = await until_status(node, made["id"], "failed")
        assert found["error_code"] == "not_served" and str(pebble.http_port) in found["error"]
    assert (await node.call("PUT", f"/api/domains/{made['id']}", {}))[0] == 200
    await until_status(node, made["id"], "valid")


async def test_behind_another_server_certificates_are_that_servers_matter(door_node, backend):
    (port,) = free_ports(1)
    inside = await backend("inside")
    apps = providing(Apps, FakeApps(AppAddress("app_1", "inside", "running", inside.addr)))
    node = await door_node(apps, mode="coexist", coexist_port=port)
    made = await add(node, "shop.example.test", app_id="app_1")
    assert made["ssl"]["status"] == "disabled"
    assert (await ssl_of(node, made["id"]))["error_code"] == "front_ends_tls"
    node.http_port = port
    assert (await node.visit("shop.example.test")).json["name"] == "inside"
