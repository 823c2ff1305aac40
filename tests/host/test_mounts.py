"""Raw ASGI applications and WebSockets stand behind the same gate as routes."""

import asyncio
from types import ModuleType

import pytest
from cloudos_sdk import (
    Manifest,
    Mount,
    Permission,
    Policy,
    Principal,
    Role,
    Unauthenticated,
    caller,
    hookimpl,
    requires,
)
from cloudos_sdk.capabilities import BearerAuthenticator
from cloudos_sdk.testing.fakes import providing
from quart import Blueprint, websocket
from quart.testing import WebsocketResponseError


def mounted_plugin(policy=None):
    module = ModuleType("mounted")
    module.manifest = Manifest(
        title="Mounted",
        prefixes=("/raw", "/api/mounted"),
        permissions=(Permission("raw:write", "Use it", Role.OPERATOR),),
    )

    async def raw(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": caller().principal.name})
            await send({"type": "websocket.close"})
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{caller().principal.name} {size}".encode()})

    routes = Blueprint("mounted", "mounted")

    @routes.websocket("/api/mounted/live")
    @requires("raw:write")
    async def live():
        await websocket.send(caller().principal.name)

    @hookimpl
    def cloudos_routes():
        return [routes]

    @hookimpl
    def cloudos_mounts():
        return [Mount("/raw", raw, policy or Policy(access="permission", permission="raw:write"))]

    module.cloudos_routes, module.cloudos_mounts = cloudos_routes, cloudos_mounts
    return module


async def test_a_mount_is_reached_only_by_those_whom_its_policy_admits(cloudos):
    host = await cloudos(mounted_plugin())

    assert await (await host.operator.get("/raw/below")).get_data(as_text=True) == "operator 0"
    refused = await host.viewer.get("/raw")
    assert (refused.status_code, (await refused.get_json())["error"]) == (403, "forbidden")
    nobody = await host.anonymous.get("/raw")
    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await host.client.get("/rawest")).status_code == 404


async def test_a_mount_refuses_a_body_over_the_limit(cloudos):
    host = await cloudos(mounted_plugin(), max_body=2048)

    posted = await host.client.post("/raw", data=b"x" * 2048, headers={"Content-Type": "application/json"})
    assert await posted.get_data(as_text=True) == "admin 2048"
    refused = await host.client.post("/raw", data=b"x" * 2049, headers={"Content-Type": "application/json"})
    assert (refused.status_code, (await refused.get_json())["error"]) == (413, "body_too_large")


async def test_a_mount_without_a_policy_or_outside_of_its_prefixes_makes_its_plugin_invalid(cloudos):
    host = await cloudos(mounted_plugin(Policy()))
    assert host.state("mounted") == "failed"
    assert "has no access policy" in host.record("mounted").reason
    await host.stop()

    strange = mounted_plugin()
    strange.manifest = Manifest(title="Mounted", prefixes=("/api/mounted",), permissions=strange.manifest.permissions)
    host = await cloudos(strange)
    assert "lies outside of its prefixes" in host.record("mounted").reason


async def test_a_websocket_is_refused_before_it_opens(cloudos):
    host = await cloudos(mounted_plugin())
    client = host.host.app.test_client()

    async with client.websocket("/api/mounted/live", headers={"Authorization": "Bearer operator"}) as socket:
        assert await socket.receive() == "operator"
    for headers in ({}, {"Authorization": "Bearer viewer"}):
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/api/mounted/live", headers=headers) as socket:
                await socket.receive()
        assert refused.value.response.status_code in (401, 403)


async def test_a_page_of_another_site_opens_no_websocket_with_the_cookies_of_its_visitor(cloudos):
    host = await cloudos(mounted_plugin())
    client = host.host.app.test_client()
    here = {"Authorization": "Bearer operator", "Origin": "https://elsewhere.example", "Host": "node.example"}
    async with client.websocket("/api/mounted/live", headers=here) as socket:
        assert await socket.receive() == "operator", "a token is no cookie: whoever sends it means it"
    for origin in ("https://elsewhere.example", "null", "http://["):
        headers = {"Origin": origin, "Host": "node.example", "Cookie": "cloudos_access=x"}
        with pytest.raises(WebsocketResponseError) as refused:
            async with client.websocket("/api/mounted/live", headers=headers) as socket:
                await socket.receive()
        assert refused.value.response.status_code == 403
    headers = {"Origin": "https://node.example", "Host": "node.example", "Cookie": "cloudos_access=x"}
    with pytest.raises(WebsocketResponseError) as refused:
        async with client.websocket("/api/mounted/live", headers=headers) as socket:
            await socket.receive()
    assert refused.value.response.status_code == 401, "the cookie alone decides where the page is ours"


class DoorKeys:
    """Knows one bearer of the family `door_`."""

    prefix = "door_"

    def recognise(self, authorization):
        return None

    async def authenticate(self, authorization, address):
        if authorization != "Bearer door_open":
            raise Unauthenticated("This key does not hold.", code="key_invalid")
        return Principal("door_key", "key_1", "front door", Role.VIEWER, "usr_1", scopes=frozenset())


async def test_a_mount_that_takes_one_family_of_bearers_takes_no_other_credentials(cloudos):
    plugin = mounted_plugin(Policy(access="bearer", bearer="door_"))
    host = await cloudos(plugin, providing(BearerAuthenticator, DoorKeys()))

    opened = await host.anonymous.get("/raw", headers={"Authorization": "Bearer door_open"})
    assert (opened.status_code, await opened.get_data(as_text=True)) == (200, "front door 0")
    for header in ("Bearer door_shut", "Bearer admin", "Basic door_open"):
        refused = await host.anonymous.get("/raw", headers={"Authorization": header})
        assert refused.status_code == 401, header
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await host.anonymous.get("/raw")).status_code == 401
    elsewhere = await host.anonymous.get("/api/plugins", headers={"Authorization": "Bearer door_open"})
    assert elsewhere.status_code == 401, "it opens nothing else"


async def test_a_mount_that_waits_for_its_client_is_told_of_the_stop(cloudos):
    ended = asyncio.Event()
    plugin = mounted_plugin(Policy(access="public"))

    async def waits(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        ended.set()

    plugin.cloudos_mounts = hookimpl(lambda: [Mount("/raw", waits, Policy(access="public"))], specname="cloudos_mounts")
    host = await cloudos(plugin)
    asked = asyncio.create_task(host.anonymous.get("/raw"))
    await asyncio.sleep(0.1)
    assert not ended.is_set()
    host.host.mounts.stop_soon()
    async with asyncio.timeout(5):
        await ended.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
