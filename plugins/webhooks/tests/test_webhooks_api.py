"""Making, changing and removing webhooks: the reference's "Webhooks" and what a user expects beside it."""

import json

import pytest
import sqlalchemy as sa
from webhook_node import until


async def test_a_webhook_is_made_with_a_secret_that_is_shown_once(webhooks, webhook_sink):
    node = await webhooks()
    events = ["app.installed", "app.crashed", "backup.completed"]
    made = await node.create(webhook_sink.url("/hook"), *events)
    assert list(made)[:5] == ["id", "url", "events", "active", "created_at"]
    assert made["id"].startswith("wh_") and made["secret"].startswith("whsec_")
    assert (made["url"], made["events"], made["active"]) == (webhook_sink.url("/hook"), events, True)
    [listed] = await node.ask("GET", "")
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    assert await node.get(made) == listed
    [event] = [event for event in await node.running.event_log() if event.type == "webhook.created"]
    assert event.resource == made["id"] and "/hook" not in json.dumps(dict(event.data)), "a path may hold a token"


async def test_secrets_and_urls_are_not_in_the_database_as_they_are(webhooks, webhook_sink):
    node = await webhooks()
    made = await node.create(webhook_sink.url("/T00/B00/token"))
    rows = await node.running.ctx("webhooks").db.read(
        lambda s: s.execute(sa.text("SELECT * FROM webhooks_webhook")).all()
    )
    text = str(rows)
    assert made["id"] in text and made["secret"][6:] not in text and "B00/token" not in text


async def test_an_update_is_partial(webhooks, webhook_sink):
    node = await webhooks()
    made = await node.create(webhook_sink.url("/hook"), "app.installed")
    changed = await node.ask("PUT", f"/{made['id']}", json={"events": ["alert.fired"], "active": False})
    assert (changed["url"], changed["events"], changed["active"]) == (made["url"], ["alert.fired"], False)
    assert "secret" not in changed
    await node.ask("PUT", f"/{made['id']}", json={})
    await node.restart()
    assert (await node.get(made)) | {"updated_at": ""} == changed | {"updated_at": ""}
    assert await node.types() == ["webhook.created", "webhook.updated"], "a change that changes nothing is no event"


async def test_a_deleted_webhook_is_gone_with_its_deliveries(webhooks, webhook_sink):
    node = await webhooks()
    webhook_sink.mode["/a"] = "fail"
    gone, stays = await node.create(webhook_sink.url("/a")), await node.create(webhook_sink.url("/b"), "thing.made")
    await node.emit("one")
    await node.state(stays, "delivered")
    await node.ask("DELETE", f"/{gone['id']}", 204)
    await node.ask("GET", f"/{gone['id']}", 404)
    for method, path in (("GET", "/deliveries"), ("POST", "/test"), ("POST", "/rotate-secret"), ("DELETE", "")):
        assert (await node.ask(method, f"/{gone['id']}{path}", 404))["error"] == "webhook_not_found"

    async def left():
        statement = sa.text("SELECT DISTINCT webhook_id FROM webhooks_delivery")
        return await node.running.ctx("webhooks").db.read(lambda s: s.execute(statement).scalars().all())

    async def only_the_other():
        return await left() == [stays["id"]]

    await until(only_the_other)
    assert (await node.types())[-1] == "webhook.deleted"


@pytest.mark.parametrize(
    ("body", "path", "word"),
    [
        ({"url": "ftp://example.org/", "events": ["*"]}, "url", "http or https"),
        ({"url": "http://", "events": ["*"]}, "url", "http or https"),
        ({"url": "http://[broken", "events": ["*"]}, "url", "http or https"),
        ({"url": "https://example.org/a b", "events": ["*"]}, "url", "http or https"),
        ({"url": "https://me:secret@example.org/", "events": ["*"]}, "url", "password"),
        ({"url": "http://x/", "events": []}, "events", "at least 1"),
        ({"url": "http://x/", "events": ["Thing Made"]}, "events.0", "form"),
        ({"url": "http://x/", "events": ["app.instaled"]}, "events.0", "app.installed"),
        ({"url": "http://x/", "events": ["*", "qqq.zzz"]}, "events.1", "event-types"),
        ({"events": ["*"]}, "url", "is missing"),
        ({"url": "http://x/", "events": ["*"], "secret": "mine"}, "secret", "is not known"),
    ],
)
async def test_what_is_wrong_is_named(webhooks, body, path, word):
    node = await webhooks()
    refused = await node.ask("POST", "", 400, json=body)
    assert refused["error"] == "invalid_request"
    assert path in [field["path"] for field in refused["fields"]] and word in json.dumps(refused)
    assert await node.ask("GET", "") == []


async def test_only_admins_see_webhooks(webhooks, webhook_sink):
    node = await webhooks()
    made = await node.create(webhook_sink.url())
    for client in (node.running.operator, node.running.viewer):
        await node.ask("GET", "", 403, client)
        await node.ask("GET", f"/{made['id']}/deliveries", 403, client)
        await node.ask("POST", f"/{made['id']}/test", 403, client)
        await node.ask("POST", "", 403, client, json={"url": "http://x/", "events": ["*"]})


async def test_the_vocabulary_is_that_of_what_is_loaded_and_what_is_promised(webhooks):
    node = await webhooks()
    listed = {entry["type"]: entry for entry in await node.ask("GET", "/event-types")}
    assert listed["thing.made"] == {"type": "thing.made", "title": "A thing was made.", "available": True}
    assert listed["webhook.failing"]["available"] and listed["app.installed"]["title"]
    assert listed["vpn.peer_added"]["available"] is False
    assert list(listed) == sorted(listed)


async def test_there_is_an_end_to_how_many_one_can_make(webhooks):
    node = await webhooks()
    for number in range(100):
        await node.create(f"http://127.0.0.1:9/{number}", "thing.lost")
    assert (await node.create("http://127.0.0.1:9/more", status=409))["error"] == "too_many_webhooks"


async def test_models_equal_migrations(webhooks):
    node = await webhooks()
    assert node.running.schema_differences("webhooks") == []
