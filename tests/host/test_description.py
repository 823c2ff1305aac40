"""The description of the API costs one making, whoever asks and however often."""

import asyncio

from boot_plugins import notes_plugin

from cloudos_host.http import openapi_cache


async def test_the_document_is_made_once_for_all_who_ask(cloudos, monkeypatch):
    made, document = [], openapi_cache._document
    monkeypatch.setattr(openapi_cache, "_document", lambda app: made.append(1) or document(app))
    host = await cloudos(notes_plugin())
    answers = await asyncio.gather(*(host.anonymous.get("/openapi.json") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({await answer.get_data() for answer in answers}) == 1
    assert "/api/jotter" in (await answers[0].get_json())["paths"]
    assert len(made) == 1


async def test_the_document_names_what_was_registered_since(cloudos):
    host = await cloudos(notes_plugin())
    old = await host.anonymous.get("/openapi.json")
    record = host.record("jotter")
    from quart import Blueprint

    more = Blueprint("more", "more")

    @more.get("/api/jotter/more")
    async def view():
        return {}

    host.host._register(record, [more])
    new = await host.anonymous.get("/openapi.json", headers={"If-None-Match": old.headers["ETag"]})
    assert new.status_code == 200
    assert "/api/jotter/more" in (await new.get_json())["paths"]


async def test_who_has_the_document_is_told_that_it_is_the_same(cloudos):
    host = await cloudos(notes_plugin())
    tag = (await host.anonymous.get("/openapi.json")).headers["ETag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = await host.anonymous.get("/openapi.json", headers={"If-None-Match": given})
        assert (same.status_code, await same.get_data(), same.headers["ETag"]) == (304, b"", tag)
    other = await host.anonymous.get("/openapi.json", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_routes_that_come_while_it_is_made_are_in_it(cloudos, monkeypatch):
    host = await cloudos(notes_plugin())
    document, loop, runs = openapi_cache._document, asyncio.get_running_loop(), []

    def slow(app):
        found = document(app)
        runs.append(1)
        if len(runs) == 1:  # hold the making, let a plugin come up
            asyncio.run_coroutine_threadsafe(register(), loop).result(5)
        return found

    async def register():
        from quart import Blueprint

        more = Blueprint("more", "more")

        @more.get("/api/jotter/more")
        async def view():
            return {}

        host.host._register(host.record("jotter"), [more])

    monkeypatch.setattr(openapi_cache, "_document", slow)
    assert "/api/jotter/more" in (await (await host.anonymous.get("/openapi.json")).get_json())["paths"]
    assert len(runs) == 2
