"""Renames of notes that many texts name: others write meanwhile, and neither a change nor a stop loses a link."""

from __future__ import annotations

import asyncio
import threading

import pytest
from cloudos_notes.text import markdown
from cloudos_sdk.capabilities import NoteChange

LONG = "words of it, " * 5_000


class Held:
    """Holds what rewrites the texts that follow a rename until it is let go."""

    def __init__(self, monkeypatch) -> None:
        self.begun, self._go = threading.Event(), threading.Event()
        monkeypatch.setattr(markdown, "renamed", self._renamed)

    def _renamed(self, *given):
        self.begun.set()
        assert self._go.wait(60)
        return _renamed(*given)

    async def wait(self):
        """Wait until a text is being rewritten."""
        assert await asyncio.to_thread(self.begun.wait, 30)

    def let_go(self):
        """Have the texts rewritten."""
        self._go.set()


_renamed = markdown.renamed


@pytest.fixture
def held(monkeypatch):
    holding = Held(monkeypatch)
    yield holding
    holding.let_go()


async def _linked(node, many):
    hub = await node.write("x", title="Hub")
    return hub, [await node.write(f"[[Hub]] {LONG}", title=f"n{number}") for number in range(many)]


async def test_others_write_while_many_long_texts_follow_a_rename(notes, held):
    node = await notes()
    hub, sources = await _linked(node, 5)
    renaming = asyncio.create_task(node.change(hub, title="Hub2"))
    await held.wait()
    async with asyncio.timeout(10):
        await node.write("short", title="Meanwhile")
    assert not renaming.done()
    assert await node.links(sources[0]) == (["Hub2"], [], []), "a text that has yet to follow leads there too"
    held.let_go()
    assert (await renaming)["title"] == "Hub2"
    for source in sources:
        followed = await node.read(source)
        assert (followed["content"], followed["version"]) == (f"[[Hub2]] {LONG}", 2)
    assert len((await node.links(hub))[1]) == 5


async def test_a_long_text_that_names_itself_is_rewritten_before_its_rename(notes, held):
    node = await notes()
    hub = await node.write(f"I am [[Hub]] {LONG}", title="Hub")
    renaming = asyncio.create_task(node.change(hub, title="Hub2"))
    await held.wait()
    async with asyncio.timeout(10):
        await node.write("short", title="Meanwhile")
    held.let_go()
    assert (await renaming)["content"].startswith("I am [[Hub2]] words")


async def test_a_text_that_is_changed_meanwhile_keeps_the_change_and_follows(notes, held):
    node = await notes()
    hub, (source, other) = await _linked(node, 2)
    renaming = asyncio.create_task(node.change(hub, title="Hub2"))
    await held.wait()
    await node.change(source, content="now [[Hub]] and [[New]]")
    await node.ask("DELETE", f"/api/notes/{other['id']}?permanent=true", 204)
    held.let_go()
    await renaming
    assert (await node.read(source))["content"] == "now [[Hub2]] and [[New]]"
    assert await node.links(source) == (["Hub2"], [], ["New"])


async def test_one_rename_waits_for_the_other_of_the_same_note(notes, held):
    node = await notes()
    hub, sources = await _linked(node, 2)
    first = asyncio.create_task(node.change(hub, title="Hub2"))
    await held.wait()
    second = asyncio.create_task(node.change(hub, title="Hub3"))
    await asyncio.sleep(0.1)
    held.let_go()
    await asyncio.gather(first, second)
    for source in sources:
        assert (await node.read(source))["content"].startswith("[[Hub3]] ")
        assert await node.links(source) == (["Hub3"], [], [])


async def test_a_rename_goes_through_without_whoever_asked_for_it(notes, held):
    node = await notes()
    hub, (source,) = await _linked(node, 1)
    renaming = asyncio.create_task(node.store.edit("usr_operator", hub["id"], NoteChange(title="Hub2")))
    await held.wait()
    renaming.cancel()
    held.let_go()
    await _followed(node, source)


async def test_a_rename_that_a_stop_interrupts_is_followed_at_the_next_start(notes, monkeypatch):
    node = await notes()
    hub, sources = await _linked(node, 3)

    def stopped(*given):
        raise RuntimeError("the process ends here")

    monkeypatch.setattr(markdown, "renamed", stopped)
    await node.change(hub, 500, title="Hub2")
    assert (await node.links(hub))[1] == ["n0", "n1", "n2"], "the links lead to the note in the meantime"
    monkeypatch.setattr(markdown, "renamed", _renamed)
    await node.running.restart()
    node.client = node.running.operator
    for source in sources:
        await _followed(node, source)
    assert (await node.links(hub))[1] == ["n0", "n1", "n2"]


async def _followed(node, source):
    async with asyncio.timeout(20):
        while not (await node.read(source))["content"].startswith("[[Hub2]] "):
            await asyncio.sleep(0.02)
