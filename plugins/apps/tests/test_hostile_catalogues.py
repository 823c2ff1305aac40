"""Catalogues by somebody who means harm: what is wrong is left out with a reason, and nobody else suffers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import zlib

import pytest
from cloudos_apps.engine.log_lines import printable
from cloudos_apps.templates.catalog import TemplateCatalog
from cloudos_apps.templates.formats.common import UnsupportedTemplate
from cloudos_apps.templates.formats.detect import read
from components.ports import free_port
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = {"type": 1, "title": "Good", "image": "example/good:1"}
GOOD_YAML = "services: {good: {image: 'example/good:1'}}\n"


def portainer(*entries, version='"3"'):
    texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    return f'{{"version": {version}, "templates": [{", ".join(texts)}]}}'


def nested(depth, open_="[", close="]"):
    return open_ * depth + "1" + close * depth


# what may stand in the place of any member of an entry, as JSON
VALUES = {
    "deep": nested(3000),
    "deep objects": nested(500, '{"a":', "}"),
    "a huge number": "9" * 5000,
    "a huge float": "1e999",
    "nan": "NaN",
    "infinity": "-Infinity",
    "half a character": '"\\ud800"',
    "a nul": '"a\\u0000b"',
    "a list": '[[], {}, null, [1, "x"]]',
    "an object": '{"": {"": []}, "1": null}',
    "a number": "-1",
    "true": "true",
    "null": "null",
    "an empty text": '""',
    "a long text": json.dumps("x" * 300_000),
    "control characters": '"a\\r\\u001b[31mb\\u202ec\\u0085"',
    "twice": '1, "title": 2',
}
MEMBERS = [
    *("title", "name", "image", "type", "env", "ports", "volumes", "categories", "command", "logo", "description"),
    *("registry", "network", "restart_policy", "platform", "privileged", "odd"),
]


@pytest.mark.parametrize("kind", VALUES)
def test_one_bad_entry_of_a_portainer_catalogue_loses_no_other(kind):
    value = VALUES[kind]
    bad = [f'{{"type": 1, "image": "example/bad:1", "title": "Bad", "{member}": {value}}}' for member in MEMBERS]
    bad += [f'{{"type": 1, "image": "example/bad:1", "env": [{{"name": "A", "{m}": {value}}}]}}'
            for m in ("name", "default", "label", "select", "set", "preset")]  # fmt: skip
    bad += [f'{{"type": 1, "image": "example/bad:1", "volumes": [{{"{member}": {value}}}]}}'
            for member in ("bind", "container", "readonly")]  # fmt: skip
    for entry in (*bad, *([value] if kind != "twice" else [])):
        _, found = read(portainer(entry, GOOD), "them")
        assert "them.good" in found.templates, entry[:200]
        for text in found.skipped:
            json.dumps(text).encode()
            assert printable("".join(text)) == "".join(text)
        for template in found.templates.values():
            template.model_dump_json()
            assert printable(template.display_name) == template.display_name


YAML_VALUES = {
    "deep": nested(3000),
    "deeper than a stack": nested(200_000),
    "an octal": "0o17",
    "a huge number": "9" * 5000,
    "a huge hexadecimal": "0x" + "f" * 20_000,
    "a sexagesimal": ":".join(["59"] * 3000),
    "nan": ".nan",
    "infinity": "-.inf",
    "a date": "2024-02-30",
    "a moment": "2024-02-03 25:61:61",
    "a set": "!!set {a, b}",
    "an ordered map": "!!omap [a: 1]",
    "bytes": "!!binary 'not base64 !'",
    "code": "!!python/object/apply:os.system ['true']",
    "an unknown tag": "!odd {a: 1}",
    "keys that are lists": "{[a, b]: 1}",
    "keys that are maps": "{{a: b}: 1}",
    "keys that are no text": "{1: a, true: b, null: c, 1.5: d}",
    "twice": "{a: 1, a: 2}",
    "a circle": "&c [*c]",
    "a circle of maps": "&c {a: *c}",
    "an alias of nothing": "*none",
    "a merge of nothing": "{<<: 5}",
    "a nul": '"a\\0b"',
    "half a character": '"\\ud800"',
    "control characters": '"a\\r\\e[31mb\\x85"',
    "a tab": "\t- x",
    "unclosed": "[a, b",
    "a long text": "x" * 300_000,
    "nothing": "",
}
COMPOSE = ["image", "environment", "ports", "volumes", "command", "depends_on", "healthcheck", "deploy", "user"]


@pytest.mark.parametrize("kind", YAML_VALUES)
def test_one_bad_document_loses_no_other(kind):
    value = YAML_VALUES[kind]
    bad = [f"services: {{bad: {{image: 'example/bad:1', {member}: {value}}}}}\n" for member in COMPOSE]
    bad += [f"{member}: {value}\nservices: {{bad: {{image: 'example/bad:1'}}}}\n"
            for member in ("name", "display_name", "x-casaos", "volumes", "networks")]  # fmt: skip
    bad += [f"services: {value}\n", f"{value}\n", f"services: {{{value}: {{image: 'example/bad:1'}}}}\n"]
    bad += [f"{{name: own, display_name: {value}, category: c, version: '1', services: [{{name: a, image: 'a:1'}}]}}\n"]
    for document in bad:
        for text in (f"# YAML\n{document}---\n{GOOD_YAML}", f"{GOOD_YAML}---\n{document}"):
            _, found = read(text, "them")
            assert "them.good" in found.templates, text[:200]
            for reason in found.skipped:
                json.dumps(reason).encode()
            for template in found.templates.values():
                template.model_dump_json()


def test_aliases_do_not_grow_without_end():
    levels = "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 3)}]" for n in range(6))
    text = f"a: &a [{', '.join(['xxxxxxxxxxxxxxxxxxxx'] * 20_000)}]\n{levels}\nname: *g\n{GOOD_YAML}"
    begun = time.process_time()
    with contextlib.suppress(UnsupportedTemplate):
        assert not read(text, "them")[1].templates
    assert time.process_time() - begun < 15


@pytest.mark.parametrize(
    "text", ["\ud800", "a\0b", "{" * 100_000, "[" * 400_000, "- " * 400_000, "", "\ufeff", "---\n" * 9]
)
def test_no_text_at_all_breaks_the_reader(text):
    with pytest.raises(UnsupportedTemplate):
        read(text, "them")


def test_a_catalogue_of_too_many_is_refused_and_many_are_read():
    entries = [{**GOOD, "title": f"Good {number}"} for number in range(5_000)]
    _, found = read(portainer(*entries), "them")
    assert len(found.templates) == 5_000
    with pytest.raises(UnsupportedTemplate, match="5000"):
        read(portainer(*entries, GOOD), "them")
    _, found = read(portainer(*["1"] * 4_000, GOOD), "them")
    assert (found.left_out, len(found.templates)) == (4_000, 1) and len(found.skipped) <= 1_000


def test_a_template_cannot_be_larger_than_what_is_kept_with_an_app():
    ports = [{"name": f"p{number}", "container": number} for number in range(1, 60_000)]
    own = {"name": "own", "display_name": "Own", "category": "c", "version": "1"}
    document = json.dumps({**own, "services": [{"name": "a", "image": "a:1", "ports": ports[:20_000]}]})
    begun = time.process_time()
    with contextlib.suppress(UnsupportedTemplate):
        assert not read("# as YAML\n" + document, "them")[1].templates
    assert time.process_time() - begun < 15


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6)
    | st.sampled_from(["\ud800", "\0", "\r\n", "${x}", "/", "9" * 30, "a:b", "-1"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*MEMBERS, *COMPOSE, "services", "test", "bind"]), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.lists(ANY, max_size=3), ANY)
def test_whatever_is_in_a_catalogue_its_good_entry_is_there(entries, version):
    typed = [json.dumps({**entry, "type": 1} if isinstance(entry, dict) else entry) for entry in entries]
    _, found = read(portainer(*typed, {**GOOD, "title": "The very good one"}), "them")
    assert "them.the-very-good-one" in found.templates
    with contextlib.suppress(UnsupportedTemplate):
        read(portainer(*typed, version=json.dumps(version)), "them")


async def add(host, name, status, **body):
    answer = await host.client.post("/api/templates/sources", json={"name": name, **body})
    found = await answer.get_json()
    assert answer.status_code == status, found
    return found


async def test_over_the_api_nothing_of_it_is_a_crash(cloudos):
    host = await cloudos("apps")
    texts = [portainer(f'{{"type": 1, "title": {v}, "image": {v}}}', GOOD) for v in VALUES.values()]
    texts += [f"x-odd: {v}\n{GOOD_YAML}---\n{GOOD_YAML}" for v in YAML_VALUES.values()]
    texts += [
        "{",
        "[]",
        '{"templates": 5, "version": 3}',
        portainer(GOOD, version="[[]]"),
        portainer(version="9" * 5000),
    ]
    for number, text in enumerate(texts):
        answer = await host.client.post("/api/templates/sources", json={"name": f"s{number}", "content": text})
        body = await answer.get_json()
        assert answer.status_code in (201, 400), (answer.status_code, body, text[:200])
        assert answer.status_code == 201 or (body["error"] == "invalid_request" and body["fields"]), text[:200]
    listed = await (await host.client.get("/api/templates/sources")).get_json()
    for source in listed:
        assert (await host.client.get(f"/api/templates/sources/{source['id']}")).status_code == 200
    names = [t["name"] for t in await (await host.client.get("/api/templates?limit=500")).get_json()]
    assert sum(name.endswith(".good") for name in names) == len(listed) > 20
    for name in names:
        assert (await host.client.get(f"/api/templates/{name}")).status_code == 200
    await host.restart()
    assert [t["name"] for t in await (await host.client.get("/api/templates?limit=500")).get_json()] == names


def answer_of(body, *headers, status="200 OK"):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


CATALOGUE = portainer(GOOD).encode()
ANSWERS = {
    "a bomb of gzip": answer_of(gzip.compress(b" " * 50_000_000 + CATALOGUE), "Content-Encoding: gzip"),
    "a bomb of deflate": answer_of(zlib.compress(b" " * 50_000_000), "Content-Encoding: deflate"),
    "not gzip": answer_of(b"x", "Content-Encoding: gzip"),
    "an unknown encoding": answer_of(CATALOGUE, "Content-Encoding: odd"),
    "no utf-8": answer_of(portainer(GOOD).encode("utf-16")),
    "a picture": answer_of(b"\x89PNG\r\n\x1a\n\0\0\0\0", "Content-Type: image/png"),
    "a nul": answer_of(b"\0" + CATALOGUE),
    "no http": b"\0\1\2 nonsense \r\n\r\n",
    "nothing": b"",
    "half": answer_of(CATALOGUE)[:-20],
    "a wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + CATALOGUE,
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + CATALOGUE,
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n" + CATALOGUE,
    "a redirect to a file": answer_of(b"", "Location: file:///etc/passwd", status="302 Found"),
    "a redirect to nowhere": answer_of(b"", "Location: http://[broken", status="302 Found"),
    "a redirect to a nul": answer_of(b"", "Location: /\udc80\udcff", status="302 Found"),
    "a redirect without a place": answer_of(b"", status="302 Found"),
    "an odd status": answer_of(CATALOGUE, status="999 odd"),
    "unchanged, at the first time": answer_of(b"", status="304 Not Modified"),
}


@pytest.fixture
async def server():
    """Answer each path with bytes that a test gives; `drip` never ends."""
    answers, writers = {}, set()

    async def serve(reader, writer):
        writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            if path == "/drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not writer.is_closing():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            writer.write(answers[path])
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", free_port())
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield url, answers
    listening.close()
    for writer in writers:
        writer.close()


async def test_whatever_a_server_answers_there_is_a_reason(cloudos, server, monkeypatch):
    from cloudos_apps.templates.sources import download

    monkeypatch.setattr(download, "_SECONDS", 1)
    url, answers = server
    host = await cloudos("apps", settings={"apps": {"template_sources_allow_private": True}})
    for kind, answer in ANSWERS.items():
        answers["/x"] = answer
        begun = time.monotonic()
        refused = await add(host, "them", 400, url=f"{url}/x")
        assert refused["error"] == "invalid_request" and refused["fields"][0]["path"] == "url", (kind, refused)
        assert time.monotonic() - begun < 12, kind
    begun = time.monotonic()
    assert "1 seconds" in (await add(host, "them", 400, url=f"{url}/drip"))["message"]
    assert time.monotonic() - begun < 12
    answers["/x"] = answer_of(CATALOGUE, "ETag: \udc80\udcff", "Content-Type: image/png")
    assert (await add(host, "them", 201, url=f"{url}/x"))["templates"] == 1


async def test_a_redirect_leads_to_no_private_address(cloudos, server, monkeypatch):
    """The first address is let through, as if it were of the internet: the second is looked at by itself."""
    from cloudos_sdk import outbound

    url, answers = server
    public = outbound.is_public
    monkeypatch.setattr(outbound, "is_public", lambda address: address == "127.0.0.1" or public(address))
    host = await cloudos("apps")
    answers["/x"] = answer_of(CATALOGUE)
    for place in ("http://127.0.0.2:9/", "http://[::1]:9/", "http://169.254.169.254/latest", "http://10.0.0.1/"):
        answers["/to"] = answer_of(b"", f"Location: {place}", status="302 Found")
        assert "private" in (await add(host, "them", 400, url=f"{url}/to"))["message"], place


async def test_a_source_that_turns_hostile_ends_no_other_ones_refresh(cloudos, server):
    url, answers = server
    host = await cloudos("apps", settings={"apps": {"template_sources_allow_private": True}})
    for name in ("aaa", "mmm", "zzz"):
        answers[f"/{name}"] = answer_of(CATALOGUE)
        await add(host, name, 201, url=f"{url}/{name}")
    better = portainer(GOOD, {**GOOD, "title": "Better"}).encode()
    answers["/zzz"] = answer_of(better)
    for kind, hostile in {
        **ANSWERS,
        "a bad entry": answer_of(portainer(VALUES["half a character"], GOOD).encode()),
    }.items():
        answers["/aaa"] = answers["/mmm"] = hostile
        await host.run_job("apps", "refresh-template-sources")
        listed = {s["name"]: s for s in await (await host.client.get("/api/templates/sources")).get_json()}
        assert (listed["zzz"]["templates"], listed["zzz"]["error"]) == (2, None), kind
        assert listed["aaa"]["templates"] == 1, kind
        assert (await host.client.get("/api/templates/aaa.good")).status_code == 200
    assert listed["aaa"]["skipped"] == 1


async def test_many_templates_are_listed_page_by_page_and_made_once(cloudos):
    host = await cloudos("apps")
    for number in range(4):
        entries = [{**GOOD, "title": f"Good {n:05}"} for n in range(5_000)]
        await add(host, f"many-{number}", 201, content=portainer(*entries))
    first = await (await host.viewer.get("/api/templates")).get_json()
    begun = time.process_time()
    for _ in range(20):
        assert (await host.viewer.get("/api/templates?limit=500")).status_code == 200
        assert (await host.viewer.get("/api/templates/categories")).status_code == 200
        assert (await host.viewer.get("/api/templates/many-3.good-049990")).status_code == 404
    assert time.process_time() - begun < 6
    assert len(first) == 50 and [t["name"] for t in first] == sorted(t["name"] for t in first)
    seen, after = [], ""
    while page := await (await host.viewer.get(f"/api/templates?limit=500{after}")).get_json():
        seen += [template["name"] for template in page]
        after = f"&after={page[-1]['name']}"
    assert len(seen) == len(set(seen)) == len(await host.ctx("apps").use(TemplateCatalog).all()) > 20_000
    before = await (await host.viewer.get(f"/api/templates?limit=3&before={seen[10]}")).get_json()
    assert [template["name"] for template in before] == seen[7:10]
    for query in ("limit=0", "limit=501", "limit=x", "odd=1", "before=nope", "after=nope"):
        assert (await host.viewer.get(f"/api/templates?{query}")).status_code == 400


async def test_a_file_in_the_folder_that_breaks_the_reader_is_left_out_alone(tmp_path):
    catalogue = TemplateCatalog(tmp_path)
    about = "display_name: Mine, category: own, version: '1', services: [{name: a, image: 'a:1'}]"
    (tmp_path / "mine.yaml").write_text(f"{{name: mine, {about}}}")
    for number, value in enumerate(YAML_VALUES.values()):
        text = f"name: {value}\ndisplay_name: {value}\nservices: {value}\n"
        (tmp_path / f"bad{number}.yaml").write_text(text)
    (tmp_path / "large.yaml").write_text("x" * 2_000_000)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.yaml").mkdir()
    assert (await catalogue.get("mine")).display_name == "Mine"


async def test_settings_without_end_are_answered_at_once(cloudos):
    host = await cloudos("apps")
    config = {f"datebase_pasword_{number}": "x" for number in range(900)}
    begun = time.process_time()
    answer = await host.operator.post("/api/apps", json={"template": "nextcloud", "name": "x", "config": config})
    assert answer.status_code == 400 and len((await answer.get_json())["fields"]) < 50
    config = {f"datebase_pasword_{number}": "x" for number in range(20_000)}
    answer = await host.operator.post("/api/apps", json={"template": "nextcloud", "name": "x", "config": config})
    assert answer.status_code == 400
    assert time.process_time() - begun < 6


async def test_sources_have_a_bound_also_when_they_come_at_once(cloudos, monkeypatch):
    from cloudos_apps.templates.sources import service

    monkeypatch.setattr(service, "_MOST", 3)
    host = await cloudos("apps")
    bodies = [{"name": f"s{number}", "content": portainer(GOOD)} for number in range(8)]
    answers = await asyncio.gather(*(host.client.post("/api/templates/sources", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
