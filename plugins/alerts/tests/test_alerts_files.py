"""No channel of Apprise's has this machine read a file, or an address that it names beside its target."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FORMS = [
    "workflows://127.0.0.1:1/abc/def?template={}",
    "workflows://127.0.0.1:1/abc/def?x=1;template={}",
    "workflows://127.0.0.1:1/abc/def?x=1&template%20={}",
    "workflows://127.0.0.1:1/abc/def?x=1&%20Template={}",
    "workflows://127.0.0.1:1/abc/def?x=1;TEMPLATE%09={}",
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?x=1;template={}",
    "mailtos://a:b@127.0.0.1?pgp=encrypt;pgppub={}",
    "vapid://me@example.com/you@example.com?x=1;keyfile={}",
    "vapid://me@example.com/you@example.com?x=1;subfile={}",
    "fcm://project/device?mode=oauth2;keyfile={}",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("of", ["/etc/passwd", "http://127.0.0.1:1/x"])
async def test_what_reads_a_file_is_refused_in_each_spelling(alerts, form, of):
    node = await alerts()
    body = {"name": "Ops", "type": "apprise", "config": {"url": form.format(of)}}
    problem = await node.ask("POST", "/channels", 400, json=body)
    assert problem["fields"][0]["path"] == "config.url"
    assert "would read files" in problem["message"] or "would read files" in problem["fields"][0]["message"]


_PROGRAM = """
import json, sys

from cloudos_alerts.notify import apprise_adapter as sender
from cloudos_alerts.channel_types import AnyApprise
from apprise.manager_plugins import NotificationManager

path, address, forms = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
read, made = [], set()


def look(event, arguments):
    if event == "open" and arguments[0] == path:
        read.append(("open", arguments[0]))
    if event in ("socket.connect", "socket.getaddrinfo"):
        if "9" == str(arguments[1][1] if event == "socket.connect" else arguments[1]):
            read.append((event, "9"))
        raise OSError("nothing is sent in this test")


sys.addaudithook(look)
sender._FILES = frozenset()  # what is not refused by name is not read either
names = "attach", "keyfile", "pgpprv", "pgppub", "subfile", "template", "pgp_key", "pem", "ca_certs", "config"
arguments = "&".join(["mode=oauth2", "pgp=encrypt", *(f"{name}={{}}" for name in names)])
shapes = "{}://127.0.0.1/", "{}://a:b@127.0.0.1:1/abcdefgh/ijklmnop", "{}://abcdefgh@ijklmnop/qrstuvwx/yz"
urls = [f"{shape.format(schema)}?{arguments}" for schema in NotificationManager().schemas() for shape in shapes]
message = sender.Message("t", "b", "info")
for url in [*urls, *forms]:
    for of in (path, address):
        config = AnyApprise.model_construct(url=url.replace("{}", of))
        try:
            service = sender._service(config)
        except sender.UnfitConfig:
            continue
        made.add(type(service).__name__)
        if url in forms:
            sender.send(config, message)
print(json.dumps([read, sorted(made)]))
"""


def test_no_service_of_apprise_opens_a_file_or_dials_what_an_argument_names(tmp_path):
    named = tmp_path / "named"
    named.write_text("{}")
    given = [sys.executable, "-c", _PROGRAM, str(named), "http://127.0.0.1:9/x", json.dumps(FORMS)]
    ended = subprocess.run(given, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    read, made = json.loads(ended.stdout.splitlines()[-1])
    assert read == []
    assert len(made) > 60, "services that were made in one shape at least"
