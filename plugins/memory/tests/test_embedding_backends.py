"""Each backend gives vectors of length 1 whose closeness is closeness of meaning, and says what is wrong with it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from cloudos_memory.embedding import BackendDown, TextRefused, backend_of, minilm
from cloudos_memory.embedding.minilm import MiniLM
from cloudos_memory.embedding.quantize import NotQuantised
from cloudos_memory.search.lifespan import NodeEmbedder
from cloudos_memory.settings import EmbeddingSettings
from cloudos_sdk import Unavailable
from cloudos_sdk.testing.contracts import check_embedder
from components.ports import free_port
from embedding_server import embedding_server
from pydantic import ValidationError


@pytest.fixture
async def backend():
    made = []

    def make(**settings):
        made.append(backend_of(EmbeddingSettings(**settings)))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_the_model_in_process_keeps_the_contract(backend):
    await check_embedder(NodeEmbedder(backend()))


async def test_the_model_in_process_knows_meaning_where_no_word_is_shared(backend):
    rows = await backend().embed(
        [
            "How long do we keep nightly copies of the data?",
            "The retention of backups is thirty days.",
            "The lunch menu of Friday has fish.",
        ]
    )
    assert rows.shape == (3, 384)
    similarity = rows @ rows.T
    assert similarity[0, 1] > 0.35 > MiniLM.floor > similarity[0, 2]


async def test_a_text_has_one_vector_whatever_length_its_neighbours_have(backend):
    onnx = backend()
    texts = ["short", "words " * 200, "a sentence of a middling length about backups"]
    together, alone = await onnx.embed(texts), [(await onnx.embed([text]))[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one @ other > 0.98


async def test_the_faster_form_of_the_model_means_the_same(tmp_path):
    plain, faster = MiniLM(), MiniLM(tmp_path)
    texts = ["How long do we keep nightly copies?", "The retention of backups is thirty days.", "words " * 200]
    before = await faster.embed(texts)
    await faster.quantise()
    (made,) = tmp_path.iterdir()
    after, again = await faster.embed(texts), await MiniLM(tmp_path).embed(texts)
    assert made.stat().st_size < 30_000_000
    assert np.array_equal(before, await plain.embed(texts)) and np.array_equal(after, again)
    assert not np.array_equal(before, after)
    assert all(one @ other > 0.97 for one, other in zip(before, after, strict=True))
    await faster.quantise()
    assert list(tmp_path.iterdir()) == [made]
    for model in (plain, faster):
        await model.close()


async def test_a_faster_form_that_is_broken_is_made_anew(tmp_path):
    model = MiniLM(tmp_path)
    await model.quantise()
    (made,) = tmp_path.iterdir()
    whole = made.stat().st_size
    made.write_bytes(made.read_bytes()[:100_000])
    assert (await model.embed(["still there"])).shape == (1, 384)
    assert not made.exists()
    await model.quantise()
    assert made.stat().st_size == whole
    await model.close()


async def test_a_faster_form_that_cannot_be_made_leaves_the_model_as_it_is(tmp_path):
    nowhere = MiniLM(tmp_path / "missing")
    with pytest.raises(NotQuantised, match="missing"):
        await nowhere.quantise()
    assert (await nowhere.embed(["still there"])).shape == (1, 384)
    await nowhere.close()


@pytest.mark.parametrize("which", ["_MODEL", "_TOKENIZER"])
async def test_a_file_that_is_not_the_one_the_code_was_made_for_is_not_loaded(monkeypatch, which):
    package, path, digest = getattr(minilm, which)
    monkeypatch.setattr(minilm, which, (package, path, "0" + digest[1:] if digest[0] != "0" else "1" + digest[1:]))
    model = MiniLM()
    with pytest.raises(BackendDown, match=f"install {package} again"):
        await model.embed(["a text"])
    await model.close()


async def test_what_a_killed_making_left_is_cleared_away(tmp_path):
    model = MiniLM(tmp_path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):  # the child is ended with the one that waits for it
            await model.quantise()
    assert not list(tmp_path.glob("*.onnx"))
    await model.quantise()
    assert [path.suffix for path in tmp_path.iterdir()] == [".onnx"]
    await model.close()


@pytest.mark.parametrize("name", ["ollama", "openai"])
async def test_a_server_keeps_the_contract(backend, name):
    async with embedding_server() as server:
        server.bearer = "s3cret"
        remote = backend(backend=name, url=f"{server.url}/", model="words", api_key="s3cret")
        await check_embedder(NodeEmbedder(remote))
        rows = await remote.embed(["one", "two", "three"])
        for row, text in zip(rows, ["one", "two", "three"], strict=True):
            wanted = np.array(server.vector(text))
            assert row @ wanted / np.linalg.norm(wanted) > 0.999


@pytest.mark.parametrize("name", ["ollama", "openai"])
async def test_what_is_wrong_with_a_server_is_told(backend, name):
    nowhere = backend(backend=name, url=f"http://127.0.0.1:{free_port()}", model="words")
    with pytest.raises(BackendDown, match="cannot be reached"):
        await nowhere.embed(["x"])
    async with embedding_server() as server:
        remote = backend(backend=name, url=server.url, model="words", timeout_seconds=0.3)
        server.status = 503
        with pytest.raises(BackendDown, match=r"answered 503.*loading"):
            await remote.embed(["x"])
        with pytest.raises(Unavailable, match="503"):
            await NodeEmbedder(remote).embed(["x"])
        server.status, server.refuse = 200, "novel"
        with pytest.raises(TextRefused, match="too long"):
            await remote.embed(["a novel"])
        server.delay = 2
        with pytest.raises(BackendDown, match="cannot be reached"):
            await remote.embed(["x"])
        server.delay, server.dimension = 0, 0
        with pytest.raises(BackendDown, match="gave no embeddings"):
            await remote.embed(["x"])


async def test_an_answer_of_another_shape_is_a_backend_that_is_down(backend):
    async with embedding_server() as server:
        remote = backend(backend="ollama", url=f"{server.url}/nowhere", model="words")
        with pytest.raises(BackendDown, match="answered 404"):
            await remote.embed(["x"])


def test_off_is_no_backend_and_a_server_needs_its_address_and_model():
    assert backend_of(EmbeddingSettings(backend="off")) is None
    for incomplete in ({"backend": "ollama"}, {"backend": "openai", "url": "http://127.0.0.1:1"}):
        with pytest.raises(ValidationError, match="needs `url` and `model`"):
            EmbeddingSettings(**incomplete)


def test_the_bearer_of_a_server_is_not_shown():
    settings = EmbeddingSettings(backend="ollama", url="http://127.0.0.1:1", model="m", api_key="s3cret")
    assert "s3cret" not in repr(settings)
