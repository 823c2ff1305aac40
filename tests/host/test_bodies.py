"""What a body may be: counted to the last byte, read only so deep, and answered in few words."""

import asyncio
import contextlib
import json
from types import ModuleType

import pytest
from boot_plugins import notes_plugin
from cloudos_sdk import InvalidRequest, Manifest, accepts, hookimpl, public
from cloudos_sdk.json_text import MOST_LEVELS, MOST_MEMBERS, MOST_VALUES, holds_nul, read_json
from components.wire import asked
from quart import Blueprint, request

from cloudos_host.http import errors

_LIMIT = 100_000
JSON = {"Content-Type": "application/json"}


def taking_plugin():
    """Return a plugin whose view takes its body piece by piece, as an upload is taken."""
    module = ModuleType("taking")
    module.manifest = Manifest(title="Taking", prefixes=("/api/taking",))
    module.taken = 0
    routes = Blueprint("taking", "taking")

    @routes.post("/api/taking")
    @public
    @accepts("*/*", max_body=_LIMIT)
    async def take():
        module.taken = 0
        async for part in request.body:
            module.taken += len(part)
        return {"taken": module.taken}

    @hookimpl
    def cloudos_routes():
        return [routes]

    module.cloudos_routes = cloudos_routes
    return module


def in_chunks(size, count):
    return [f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"] * count + [b"0\r\n\r\n"]


async def sent(url, *parts):
    """Send raw parts to a host that may answer before the last; return what it says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    answer = asyncio.create_task(reader.read(1000))
    for part in parts:
        if answer.done():
            break
        with contextlib.suppress(ConnectionError):
            writer.write(part)
            await writer.drain()
        await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        said = await answer
    writer.close()
    return said


async def test_a_body_that_is_taken_piece_by_piece_is_counted(cloudos, served):
    module = taking_plugin()
    url = await served(await cloudos(module))
    head = asked("POST", "/api/taking", "Transfer-Encoding: chunked")
    assert b'{"taken":80000}' in await sent(url, head, *in_chunks(8000, 10))
    assert b" 413 " in await sent(url, head, *in_chunks(8000, 25))
    assert module.taken <= _LIMIT


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MOST_LEVELS + 1, 200, 500, 1000, 5000])
async def test_a_body_that_nests_too_deep_is_refused(cloudos, opening, depth):
    host = await cloudos(notes_plugin())
    closing = {"[": "]", '{"a":': "}"}[opening]
    body = '{"text": ' + opening * depth + "1" + closing * depth + "}"
    answer = await host.client.post("/api/jotter", data=body, headers=JSON)
    assert (answer.status_code, (await answer.get_json())["error"]) == (400, "invalid_request")


def test_json_is_read_as_deep_and_as_large_as_is_allowed():
    deep = "[" * (MOST_LEVELS - 1) + "1" + "]" * (MOST_LEVELS - 1)
    assert read_json(deep)
    with pytest.raises(InvalidRequest, match="levels"):
        read_json(f"[[{deep}]]")
    assert len(read_json(b"[" + b"1," * (MOST_VALUES - 2) + b"1]")) == MOST_VALUES - 1
    with pytest.raises(InvalidRequest, match="values"):
        read_json(b"[" + b"1," * MOST_VALUES + b"1]")
    assert read_json('"' + "[{," * 100_000 + '"')  # in a text they are no levels
    assert read_json('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("kind", [str, str.encode])
def test_an_object_has_as_many_members_as_is_allowed(kind):
    most = json.dumps({f"m{n}": n for n in range(MOST_MEMBERS)})
    more = json.dumps({f"m{n}": n for n in range(MOST_MEMBERS + 1)})
    assert len(read_json(kind(most))) == MOST_MEMBERS
    assert len(read_json(kind(f"[{', '.join([most] * 20)}]"))) == 20
    assert read_json(kind(json.dumps([{"a": ":" * 2000}] * 2000)))
    for text in (more, f'[{{"a": [{more}]}}]'):
        with pytest.raises(InvalidRequest, match="1000 members"):
            read_json(kind(text))


async def test_a_request_with_very_many_members_or_parameters_is_refused(cloudos):
    host = await cloudos(notes_plugin())
    body = json.dumps({f"a{n}": n for n in range(49_900)})
    answer = await host.client.post("/api/jotter", data=body, headers=JSON)
    told = await answer.get_json()
    assert (answer.status_code, told["error"]) == (400, "invalid_request") and "1000 members" in told["message"]
    for path in ("/api/jotter", "/api/health", "/api/nothing"):
        within = await host.client.get(path + "?" + "&".join(f"a{n}=1" for n in range(100)))
        answer = await host.client.get(path + "?" + "&".join(f"a{n}=1" for n in range(101)))
        told = await answer.get_json()
        assert (answer.status_code, told["error"]) == (400, "invalid_request")
        assert "100 query parameters" in told["message"]
        assert "100 query parameters" not in await within.get_data(as_text=True)


def test_a_nul_is_found_at_any_depth():
    value = "\0"
    for _ in range(100_000):
        value = [value]
    assert holds_nul(value)
    assert holds_nul({"a": [{"\0": 1}]})
    assert not holds_nul({"a": [{"b": "c"}], "d": 1})


async def test_an_answer_is_not_as_long_as_the_body_that_it_refuses(cloudos):
    host = await cloudos(notes_plugin())
    for body in (
        {f"field{n}": n for n in range(MOST_MEMBERS)},
        {f"field{n}": n for n in range(20_000)},
        {"x" * 1_000_000: 1},
        {"text": {"y" * 100_000: ["z" * 100_000]}},
    ):
        answer = await host.client.post("/api/jotter", data=json.dumps(body), headers=JSON)
        said = await answer.get_data()
        assert answer.status_code == 400
        assert len(said) < 10_000
        assert len(json.loads(said).get("fields", [])) <= 20


async def test_an_error_of_a_plugin_is_bounded_too():
    fields = [{"path": "p" * 9999, "message": "m" * 9999}] * 100
    response = errors.answer(InvalidRequest("x" * 1_000_000, fields=fields))
    assert len(await response.get_data()) < 60_000
