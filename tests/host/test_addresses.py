"""From where a caller is: told by the node's own proxy, by the connection, and by a trusted server hop by hop."""

from __future__ import annotations

from types import ModuleType

import pytest
from cloudos_sdk import Manifest, Mount, Policy, caller, hookimpl, limited, public
from cloudos_sdk.capabilities import OwnProxy
from cloudos_sdk.testing.fakes import providing
from quart import Blueprint, websocket

LOCAL, REMOTE = ("127.0.0.1", 5000), ("203.0.113.7", 5000)


class Door:
    """An own proxy whose word is `open`."""

    def visitor(self, header):
        return header("X-Visitor") if header("X-Key") == "open" else None


def asking():
    """Return a plugin that says from where it is asked: by a route, a WebSocket and a mount."""
    module, routes = ModuleType("asking"), Blueprint("asking", "asking")
    module.manifest = Manifest(title="Asking", prefixes=("/api/asking", "/asked"))

    @routes.get("/api/asking")
    @public
    async def where():
        return {"address": caller().address}

    @routes.get("/api/asking/seldom")
    @public
    @limited(2, 60)
    async def seldom():
        return {}

    @routes.websocket("/api/asking/live")
    @public
    async def live():
        await websocket.send(str(caller().address))

    async def mounted(scope, receive, send):
        said = f"{caller().address} {scope['client'][0]}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said.encode()})

    module.cloudos_routes = hookimpl(lambda: [routes])
    module.cloudos_mounts = hookimpl(lambda: [Mount("/asked", mounted, Policy(access="public"))])
    return module


async def told(host, peer, path="/api/asking", **headers):
    scope = {"client": peer}
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answer = await host.host.app.test_client().get(path, headers=named, scope_base=scope)
    return (await answer.get_json())["address"] if path == "/api/asking" else answer


async def test_nobody_is_believed_by_default(cloudos):
    host = await cloudos(asking())
    for peer in (LOCAL, REMOTE):
        assert await told(host, peer, X_Forwarded_For="198.51.100.1") == peer[0]
    assert await told(host, ("::ffff:203.0.113.7", 1)) == "203.0.113.7"
    assert await told(host, ("fe80::1%eth0", 1)) == "fe80::1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 127.0.0.1", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.1, ::1, [::1]:80", "203.0.113.7"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("203.0.113.7:443", "203.0.113.7"),
        ("203.0.113.7, unknown", "127.0.0.1"),
        ("203.0.113.7, _hidden", "127.0.0.1"),
        ("203.0.113.7,", "127.0.0.1"),
        ("203.0.113.7<script>", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
async def test_a_trusted_server_is_believed_hop_by_hop_and_only_an_address(cloudos, forwarded, address):
    host = await cloudos(asking(), trust_proxy=True)
    assert await told(host, LOCAL, X_Forwarded_For=forwarded) == address
    assert await told(host, REMOTE, X_Forwarded_For=forwarded) == REMOTE[0], "it is no server of this machine"


async def test_all_fields_of_the_header_are_one_list(cloudos):
    host = await cloudos(asking(), trust_proxy=True)
    headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7")]
    answer = await host.host.app.test_client().get("/api/asking", headers=headers, scope_base={"client": LOCAL})
    assert (await answer.get_json())["address"] == "203.0.113.7"


async def test_the_own_proxy_is_believed_by_routes_websockets_and_mounts(cloudos):
    host = await cloudos(asking(), providing(OwnProxy, Door()))
    believed, refused = ({"X-Key": key, "X-Visitor": "203.0.113.7"} for key in ("open", "shut"))
    for headers, address in ((believed, "203.0.113.7"), (refused, "127.0.0.1")):
        client = host.host.app.test_client()
        answer = await client.get("/api/asking", headers=headers, scope_base={"client": LOCAL})
        assert (await answer.get_json())["address"] == address
        answer = await client.get("/asked", headers=headers, scope_base={"client": LOCAL})
        assert (await answer.get_data()).decode() == f"{address} {address}"
        async with client.websocket("/api/asking/live", headers=headers, scope_base={"client": LOCAL}) as live:
            assert await live.receive() == address


async def test_what_one_subscriber_owns_is_counted_as_one_visitor(cloudos):
    host = await cloudos(asking())
    path = "/api/asking/seldom"
    statuses = [(await told(host, (f"2001:db8:1:2::{number:x}", 1), path)).status_code for number in range(3)]
    assert statuses == [200, 200, 429]
    assert (await told(host, ("2001:db8:1:3::1", 1), path)).status_code == 200
