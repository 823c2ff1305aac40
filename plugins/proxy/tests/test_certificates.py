"""Uploaded certificates, and the words for what certificate authorities say."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from certifying import START, add, make_pair, served, ssl_of
from cloudos_proxy.certificates.acme_errors import explain
from cloudos_proxy.certificates.caddy_log import CertificateOutcome
from cloudos_proxy.certificates.dns_check import DnsReport
from cloudos_proxy.domains.route_certificates import RouteCertificates
from cloudos_proxy.routes.store import RouteStore
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


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


async def test_what_caddy_itself_refuses_is_undone_and_told(door_node):
    node = await door_node()
    good = await add(node, "shop.example.test", **GOOD)
    odd = upload(["blog.example.test"], curve=ec.SECP256K1())
    status, problem = await node.call("POST", "/api/domains", {"domain": "blog.example.test", **odd})
    assert (status, problem["error"]) == (409, "configuration_refused")
    assert (await node.call("GET", "/api/domains"))[1] == [good]
    odd = upload(["shop.example.test"], curve=ec.SECP256K1())
    status, problem = await node.call("PUT", f"/api/domains/{good['id']}", odd)
    assert (status, problem["error"]) == (409, "configuration_refused")
    found = await asyncio.to_thread(served, node, "shop.example.test")
    assert found.public_bytes(serialization.Encoding.PEM).decode() == GOOD["certificate"]
    assert (await ssl_of(node, good["id"]))["serial"] == f"{found.serial_number:x}"


async def test_a_wildcard_certificate_serves_the_names_below_it(door_node, backend):
    inside = await backend("inside")
    node = await door_node(route_certificates="acme", acme_directory="https://127.0.0.1:9/dir")
    certificate, key = make_pair("*.example.test")
    await add(node, "*.example.test", certificate=certificate, private_key=key)
    await node.route("git.example.test", inside.addr)
    await node.apply()
    found = await asyncio.to_thread(served, node, "git.example.test")
    assert found.public_bytes(serialization.Encoding.PEM).decode() == certificate


async def failures(node):
    return [event for event in await node.host.event_log() if event.type == "certificate.failed"]


async def test_it_is_told_when_a_name_of_a_route_gets_no_certificate(door_node, backend):
    node = await door_node(route_certificates="acme", acme_directory="https://127.0.0.1:9/dir")
    route = await node.route("git.example.test", (await backend()).addr)
    await node.apply()
    (failed,) = await node.until(lambda: failures(node), 20)
    assert (failed.resource, failed.data["domain"]) == (route["id"], "git.example.test")
    assert failed.data["reason"] == "authority_unreachable"


async def test_the_same_failure_is_told_once_until_there_was_a_certificate(door_node):
    node = await door_node()
    await node.route("git.example.test", "127.0.0.1:7")
    ctx = node.host.ctx("proxy")
    certificates = RouteCertificates(ctx, ctx.use(RouteStore), None)
    for name, error in (
        ("git", "refused"),
        ("git", "refused"),
        ("git", None),
        ("git", "refused"),
        ("other", "refused"),
    ):
        await certificates.tell(CertificateOutcome(f"{name}.example.test", START, error))
    assert [event.data["domain"] for event in await failures(node)] == ["git.example.test"] * 2


CA = "HTTP 400 urn:ietf:params:acme:error:{} - {}"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            CA.format("rateLimited", "too many certificates; retry after 2026-02-03 04:05:06 UTC: see x"),
            "rate_limited",
            "none before 2026-02-03 04:05:06 UTC",
        ),
        (
            CA.format("connection", "192.0.2.1: Timeout during connect (firewall?)"),
            "port_shut",
            "firewall",
        ),
        (
            CA.format("unauthorized", "192.0.2.1: Invalid response: 404"),
            "wrong_server",
            "Something else",
        ),
        (CA.format("caa", "CAA record for a.test prevents issuance"), "caa", "CAA record"),
        (CA.format("dns", "DNS problem: NXDOMAIN looking up A"), "dns_missing", "no address in DNS"),
        (CA.format("rejectedIdentifier", "policy forbids issuing for a.test"), "authority_refused", "policy forbids"),
        (
            'provisioning client: performing request: Get "https://ca.test/dir": lookup ca.test: no such host',
            "authority_unreachable",
            "cannot be reached",
        ),
    ],
)
def test_errors_of_authorities_are_put_into_words(error, code, said):
    here = DnsReport("a.test", ("192.0.2.1",), ("192.0.2.1",), told=True)
    failure = explain(error, here, (80, 443))
    assert failure.code == code and said in failure.message
    assert "urn:" not in failure.message
