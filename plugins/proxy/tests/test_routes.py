"""Routes as the reference prints them."""

from __future__ import annotations


async def test_a_route_is_pending_until_it_is_applied_and_then_served(door_node, backend):
    node, blog = await door_node(), await backend("blog")
    route = await node.route("Blog.Example.com.", blog.addr)
    assert (route["hostname"], route["status"]) == ("blog.example.com", "pending")
    assert node.pid() is None, "no Caddy before there is something to serve"
    assert await node.apply() == {"applied": 1, "unchanged": 0, "errors": []}
    status, found = await node.call("GET", f"/api/proxy/routes/{route['id']}")
    assert (status, found["status"]) == (200, "active")
    answer = await node.visit("blog.example.com", "/a?b=c")
    assert (answer.status, answer.json["name"], answer.json["path"]) == (200, "blog", "/a?b=c")
    assert await node.apply() == {"applied": 0, "unchanged": 1, "errors": []}
