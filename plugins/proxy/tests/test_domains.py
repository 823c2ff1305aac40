"""Domains and their certificates, from an ACME server that really issues."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cloudos_sdk.capabilities import AppAddress, Apps, MetricSource
from cloudos_sdk.testing.contracts import check_metric_source
from cloudos_sdk.testing.fakes import FakeApps, providing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

START = datetime(2026, 1, 1, tzinfo=UTC)  # of the held clock


def served(node, hostname, trust=None):
    """Return the certificate that the door shows for a name; verified, where something trusts it."""
    context = trust or ssl._create_unverified_context()
    with (
        socket.create_connection(("127.0.0.1", node.https_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


async def ssl_of(node, domain_id):
    status, found = await node.call("GET", f"/api/domains/{domain_id}/ssl")
    assert status == 200, found
    return found


async def until_status(node, domain_id, *statuses, seconds=20):
    async def there():
        found = await ssl_of(node, domain_id)
        return found if found["status"] in statuses else None

    return await node.until(there, seconds)


async def add(node, domain, **more):
    status, found = await node.call("POST", "/api/domains", {"domain": domain, **more})
    assert status == 201, found
    return found


async def events(node, *types):
    return [event for event in await node.host.event_log() if event.type in types]


def make_pair(*names, now=START, days=90):
    """Return a self-signed certificate and its key, PEM, for `days` from `now`."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode()


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
    assert (await add(node, "cloud.example.test"))["ssl"] == {"status": "provisioning", "provider": "letsencrypt"}


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
    certificate = await node.until(lambda: asyncio.to_thread(_shown, node, "kept.cloud.test", pebble.trust()))
    assert f"{certificate.serial_number:x}" == first["serial"]
    await asyncio.sleep(1.5)
    assert (await ssl_of(node, made["id"]))["serial"] == first["serial"]
    assert pebble.orders() == orders
    assert len(await events(node, "certificate.issued")) == 1


def _shown(node, hostname, trust):
    try:
        return served(node, hostname, trust)
    except OSError:
        return None


async def test_caddys_own_authority_serves_names_that_no_public_one_knows(door_node, backend):
    inside = await backend("inside")
    node = await door_node(providing(Apps, FakeApps(AppAddress("app_1", "inside", "running", inside.addr))))
    made = await add(node, "blog.home.test", app_id="app_1", issuer="internal")
    assert made["ssl"]["provider"] == "internal"
    found = await until_status(node, made["id"], "valid", "expiring_soon")
    assert found["dns"] is None
    root = (node.host.ctx("proxy").data_dir / "caddy" / "pki" / "authorities" / "local" / "root.crt").read_text()
    trust = ssl.create_default_context(cadata=root)
    await node.until(lambda: asyncio.to_thread(_shown, node, "blog.home.test", trust))


async def test_an_uploaded_certificate_is_served_at_once_and_its_key_is_nowhere_to_be_read(door_node):
    node = await door_node()
    certificate, key = make_pair("shop.example.test", now=START - timedelta(100), days=110)
    made = await add(node, "shop.example.test", certificate=certificate, private_key=key)
    assert made["ssl"] == {"status": "expiring_soon", "provider": "uploaded"}
    found = await asyncio.to_thread(served, node, "shop.example.test")
    assert found.public_bytes(serialization.Encoding.PEM).decode() == certificate
    secret = key.splitlines()[1]
    for path in ("/api/domains", f"/api/domains/{made['id']}/ssl", "/api/proxy/history", "/api/proxy/diff"):
        _, body = await node.call("GET", path)
        assert secret not in str(body) and "PRIVATE" not in str(body), path
    assert not any(secret in str(event) for event in await node.host.event_log())
    folder = node.host.ctx("proxy").data_dir.parent
    await node.host.stop()
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), f"the key lies open in {path}"


def upload(names, other_key=False, **more):
    certificate, key = make_pair(*names, **more)
    return {"certificate": certificate, "private_key": make_pair(*names)[1] if other_key else key}


GOOD = upload(["shop.example.test"])


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (upload(["shop.example.test"], other_key=True), "private_key", "does not belong to the certificate"),
        (upload(["blog.example.test"]), "certificate", "is for blog.example.test, not for shop.example.test"),
        (upload(["shop.example.test"], now=START - timedelta(20), days=10), "certificate", "expired on 2025-12-22"),
        (upload(["shop.example.test"], now=START + timedelta(20)), "certificate", "is not valid before 2026-01-20"),
        (GOOD | {"certificate": "no certificate"}, "certificate", "is not PEM"),
        (GOOD | {"private_key": "no key"}, "private_key", "is not a private key"),
        ({"certificate": GOOD["certificate"]}, "private_key", "is missing"),
        ({"private_key": GOOD["private_key"]}, "certificate", "is missing"),
        (GOOD | {"certificate": GOOD["certificate"] * 2 + make_pair("x.test")[0]}, "certificate", "out of order"),
        (GOOD | {"auto_ssl": True}, "auto_ssl", "upload no certificate"),
    ],
)
async def test_an_upload_that_cannot_serve_is_refused_and_named(door_node, body, field, said):
    node = await door_node()
    status, problem = await node.call("POST", "/api/domains", {"domain": "shop.example.test", **body})
    assert (status, problem["error"], problem["fields"][0]["path"]) == (400, "invalid_request", field)
    assert said in problem["message"]
    assert (await node.call("GET", "/api/domains"))[1] == []


async def test_a_wildcard_certificate_serves_the_names_below_it(door_node, backend):
    inside = await backend("inside")
    node = await door_node(route_certificates="acme", acme_directory="https://127.0.0.1:9/dir")
    certificate, key = make_pair("*.example.test")
    await add(node, "*.example.test", certificate=certificate, private_key=key)
    await node.route("git.example.test", inside.addr)
    await node.apply()
    found = await asyncio.to_thread(served, node, "git.example.test")
    assert found.public_bytes(serialization.Encoding.PEM).decode() == certificate


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


async def test_a_domain_is_changed_and_removed(door_node, backend):
    one, two = await backend("one"), await backend("two")
    apps = FakeApps(AppAddress("app_1", "one", "running", one.addr), AppAddress("app_2", "two", "running", two.addr))
    node = await door_node(providing(Apps, apps))
    made = await add(node, "shop.example.test", app_id="app_1", auto_ssl=False)
    assert (await node.visit("shop.example.test")).json["name"] == "one"
    status, changed = await node.call("PUT", f"/api/domains/{made['id']}", {"app_id": "app_2"})
    assert (status, changed) == (200, {**made, "app_id": "app_2"})
    assert (await node.visit("shop.example.test")).json["name"] == "two"
    refused = await node.call("PUT", f"/api/domains/{made['id']}", {}, client=node.host.viewer)
    assert refused[0] == 403
    certificate, key = make_pair("shop.example.test")
    body = {"certificate": certificate, "private_key": key}
    _, changed = await node.call("PUT", f"/api/domains/{made['id']}", body)
    assert changed["ssl"] == {"status": "valid", "provider": "uploaded"}
    assert (await node.visit("shop.example.test")).status == 308
    assert (await node.call("DELETE", f"/api/domains/{made['id']}"))[0] == 204
    assert (await node.visit("shop.example.test")).status == 404
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
