"""Receivers that misbehave, and addresses that nothing is sent to."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.abc import AbstractResolver
from cloudos_webhooks.delivery.sender import LONGEST, Sender
from components.ports import free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


async def tried(node, hook):
    """Test a webhook; return the try."""
    delivery = await node.ask("POST", f"/{hook['id']}/test")
    [attempt] = delivery["attempts"]
    return delivery["state"], attempt


@pytest.mark.parametrize(
    ("mode", "status", "sentence"),
    [
        ("fail", 500, "the receiver answered 500"),
        ("redirect", 307, "the receiver answered 307; redirects are not followed"),
        ("hang", None, "no answer within 0.5 s"),
        ("close", None, "the connection was closed before an answer came"),
        ("nonsense", None, "what came back is no answer of HTTP"),
    ],
)
async def test_what_a_receiver_did_wrong_is_said(webhooks, webhook_sink, mode, status, sentence):
    node = await webhooks()
    webhook_sink.mode["/hook"] = mode
    state, attempt = await tried(node, await node.create(webhook_sink.url("/hook"), "thing.lost"))
    assert (state, attempt["status"], attempt["error"]) == ("failed", status, sentence)
    assert [request.path for request in webhook_sink.received] == ["/hook"], "no redirect is followed"


async def test_an_answer_without_an_end_is_cut_off(webhooks, webhook_sink):
    node = await webhooks(timeout_seconds=10)
    webhook_sink.mode["/hook"] = "endless"
    async with asyncio.timeout(5):
        state, attempt = await tried(node, await node.create(webhook_sink.url("/hook"), "thing.lost"))
    assert (state, attempt["status"], attempt["error"]) == ("delivered", 200, None), "the status was given"
    assert attempt["excerpt"] == "x" * 500
    await asyncio.sleep(0.2)
    sent = webhook_sink.sent
    await asyncio.sleep(0.2)
    assert webhook_sink.sent == sent, "the connection is closed"
    assert LONGEST == 64 * 1024


async def test_an_answer_that_drips_does_not_take_longer_than_a_try_may(webhooks, webhook_sink):
    node = await webhooks()
    webhook_sink.mode["/hook"] = "drip"
    async with asyncio.timeout(3):
        state, attempt = await tried(node, await node.create(webhook_sink.url("/hook"), "thing.lost"))
    assert (state, attempt["status"]) == ("delivered", 200)


async def test_nobody_there(webhooks):
    node = await webhooks()
    state, attempt = await tried(node, await node.create(f"http://127.0.0.1:{free_port()}/", "thing.lost"))
    assert state == "failed" and attempt["error"].startswith("cannot connect: ")


@pytest.fixture
async def self_signed(tmp_path):
    """A server whose certificate nobody vouches for; its port."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = built.sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    (tmp_path / "server.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_receiver_whose_certificate_does_not_hold(webhooks, self_signed):
    node = await webhooks(timeout_seconds=5)
    state, attempt = await tried(node, await node.create(f"https://localhost:{self_signed}/", "thing.lost"))
    assert state == "failed" and attempt["status"] is None
    assert attempt["error"].startswith("the receiver's certificate does not hold: ")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "169.254.169.254", "10.1.2.3",
     "192.168.1.1", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "localhost"],
)  # fmt: skip
async def test_a_private_address_is_refused_when_it_is_entered(webhooks, host):
    node = await webhooks(allow_private=False)
    refused = await node.create(f"http://{host}:9/", status=400)
    assert refused["fields"][0]["path"] == "url"
    assert "private network" in refused["message"] and "allow_private" in refused["message"]
    made = await node.create("http://8.8.8.8/", "thing.lost")
    await node.ask("PUT", f"/{made['id']}", 400, json={"url": f"http://{host}:9/"})


class Rebinding(AbstractResolver):
    """A name that is public when it is first looked up, and loopback from then on."""

    def __init__(self):
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        address = "93.184.215.14" if self.asked == 1 else "127.0.0.1"
        flags = socket.AI_NUMERICHOST
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": flags}]

    async def close(self):
        pass


async def test_a_name_that_turns_private_after_it_was_entered_is_refused_when_connecting(webhooks, webhook_sink):
    node = await webhooks(allow_private=False)
    sender = node.running.ctx("webhooks").use(Sender)
    sender.resolver = Rebinding()
    hook = await node.create(webhook_sink.url("/hook", "rebinds.example.org"), "thing.made")
    await node.emit("one")
    [delivery] = await node.state(hook, "retrying")
    assert delivery["attempts"][0]["error"] == (
        "127.0.0.1 is an address of a private network; the setting `allow_private` would allow it"
    )
    assert sender.resolver.asked == 2 and webhook_sink.connections == 0
