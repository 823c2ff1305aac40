"""What a route may ask of its visitors, seen from outside, on the real Caddy."""

from __future__ import annotations

import base64

from cloudos_proxy.caddy.config.limit_handlers import limit_handlers
from cloudos_proxy.caddy.config.site import RouteLimits


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_only_the_networks_that_are_named_come_in(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("near.example.com", app.addr, ip_allow=["127.0.0.0/8"])
    await node.route("far.example.com", app.addr, ip_allow=["10.1.2.3", "fd00::/8"])
    await node.apply()
    assert (await node.visit("near.example.com")).status == 200
    refused = await node.visit("far.example.com", headers={"X-Forwarded-For": "10.1.2.3"})
    assert refused.status == 403, "what a visitor says of its address does not count"


async def test_a_password_is_asked_for_and_never_shown(door_node, backend):
    node, app = await door_node(), await backend()
    accounts = [{"username": "ann", "password": "one two"}, {"username": "bob", "password": "three"}]
    route = await node.route("shut.example.com", app.addr, basic_auth=accounts)
    assert route["basic_auth"] == [{"username": "ann"}, {"username": "bob"}]
    await node.apply()
    answer = await node.visit("shut.example.com")
    assert (answer.status, "Basic" in answer.headers["WWW-Authenticate"]) == (401, True)
    assert (await node.visit("shut.example.com", headers=basic("ann", "one two"))).status == 200
    assert (await node.visit("shut.example.com", headers=basic("ann", "three"))).status == 401
    path = f"/api/proxy/routes/{route['id']}"
    _, route = await node.call("PUT", path, {"basic_auth": [{"username": "ann"}]})
    await node.apply()
    assert (await node.visit("shut.example.com", headers=basic("ann", "one two"))).status == 200, "kept as it was"
    assert (await node.visit("shut.example.com", headers=basic("bob", "three"))).status == 401
    status, error = await node.call("PUT", path, {"basic_auth": [{"username": "new"}]})
    assert status == 400 and "password" in error["message"]
    await node.call("PUT", path, {"basic_auth": None})
    await node.apply()
    assert (await node.visit("shut.example.com")).status == 200


async def test_secrets_are_encrypted_in_the_database(door_node, backend):
    node, app = await door_node(), await backend()
    headers = {"X-Api-Key": "hush-hush", "X-Colour": "red"}
    route = await node.route("a.example.com", app.addr, request_headers=headers)
    assert route["request_headers"] == {"X-Api-Key": "(hidden)", "X-Colour": "(hidden)"}
    await node.apply()
    sent = (await node.visit("a.example.com", headers={"X-Colour": "blue"})).json["headers"]
    assert (sent["X-Api-Key"], sent["X-Colour"]) == ("hush-hush", "red")
    _, again = await node.call("PUT", f"/api/proxy/routes/{route['id']}", {"request_headers": route["request_headers"]})
    assert again["status"] == "active", "what is hidden and sent back stays as it was"

    def everything(session):
        from cloudos_proxy.models import Applied, Route
        from sqlmodel import select

        return [row.model_dump() for model in (Route, Applied) for row in session.exec(select(model)).all()]

    assert "hush-hush" not in str(await node.host.ctx("proxy").db.read(everything))


async def test_a_body_that_is_too_long_is_refused(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("small.example.com", app.addr, max_body_mb=1)
    await node.apply()
    assert (await node.visit("small.example.com", method="POST", data=b"x" * 1000)).json["body"] == 1000
    assert (await node.visit("small.example.com", method="POST", data=b"x" * 1_100_000)).status == 413


async def test_paths_of_one_name_may_lead_to_different_places(door_node, backend):
    node, site, api = await door_node(), await backend("site"), await backend("api")
    await node.route("a.example.com", site.addr)
    await node.route("a.example.com", api.addr, path_prefix="/api/")
    await node.apply()
    assert (await node.visit("a.example.com", "/")).json["name"] == "site"
    assert (await node.visit("a.example.com", "/apiary")).json["name"] == "site"
    assert (await node.visit("a.example.com", "/api/v1")).json == {
        **(await node.visit("a.example.com", "/api/v1")).json,
        "name": "api",
        "path": "/api/v1",
    }
    status, error = await node.call(
        "POST",
        "/api/proxy/routes",
        {"hostname": "a.example.com", "upstream_type": "ui", "path_prefix": "/api"},
    )
    assert (status, error["error"]) == (409, "hostname_taken")


async def test_a_rate_limit_names_the_module_that_is_missing(door_node):
    node = await door_node()
    body = {"hostname": "a.example.com", "upstream_type": "ui", "rate_limit": {"requests": 10}}
    status, error = await node.call("POST", "/api/proxy/routes", body)
    assert (status, error["error"]) == (501, "rate_limit_unavailable")
    assert error["module"] == "http.handlers.rate_limit" and error["module"] in error["message"]


def test_each_route_with_a_rate_limit_counts_for_itself():
    one, other = (
        limit_handlers(RouteLimits(rate_limit=(10, 60)), id)[0]["rate_limits"] for id in ("route_a", "route_b")
    )
    assert not set(one) & set(other), "the module shares the counts of zones that have one name"
    assert list(one.values()) == [{"key": "{http.vars.share}", "window": "60s", "max_events": 10}]


async def test_an_answer_has_secure_headers_unless_the_app_has_its_own(door_node, backend):
    node, app = await door_node(), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    headers = (await node.visit("a.example.com")).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert "Strict-Transport-Security" not in headers, "not over plain HTTP (RFC 6797, 7.2)"
    assert (await node.visit("a.example.com", "/framed")).headers.getall("X-Frame-Options") == ["DENY"]


async def test_with_a_certificate_plain_http_is_sent_to_https(door_node, backend):
    import aiohttp

    node, app = await door_node(route_certificates="internal"), await backend()
    await node.route("a.example.com", app.addr)
    await node.apply()
    answer = await node.visit("a.example.com", "/x?y=z")
    assert (answer.status, answer.headers["Location"]) == (308, f"https://a.example.com:{node.https_port}/x?y=z")

    async def over_tls():
        import ssl

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"https://127.0.0.1:{node.https_port}/"
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(
                    url, ssl=context, server_hostname="a.example.com", headers={"Host": "a.example.com"}
                ) as got:
                    return got.status, dict(got.headers)
            except aiohttp.ClientError:
                return None  # the certificate is being made

    status, headers = await node.until(over_tls)
    assert status == 200 and headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "h3" in headers["Alt-Svc"], "HTTP/3 is announced"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_what_the_proxy_says_itself_is_no_header_of_a_routes(door_node):
    node = await door_node()
    for name in ("Remote-User", "REMOTE_USER", "remote_groups", "X-Forwarded-For", "X_Forwarded_Host", "X-Real-IP",
                 "X_Real_IP", "Forwarded", "X-Cloudos-Proxy", "x_cloudos_peer", "Connection", "Upgrade"):  # fmt: skip
        body = {"hostname": "a.example.com", "upstream_type": "manual", "upstream_addr": "127.0.0.1:19"}
        status, error = await node.call("POST", "/api/proxy/routes", {**body, "request_headers": {name: "x"}})
        assert status == 400 and error["fields"][0]["path"] == "request_headers", name
