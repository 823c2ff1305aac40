"""Whether a document serves is asked of the port itself, as a visitor would."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from cloudos_proxy.apply.loader import Loader, NotServed
from cloudos_proxy.settings import ProxySettings
from components.ports import free_ports


class Loaded:
    """A door whose Caddy takes every document."""

    def __init__(self):
        self.caddy = self
        self.loaded = []

    async def load(self, document):
        self.loaded.append(document)

    async def runs(self, document):
        return True


@contextlib.asynccontextmanager
async def answering(*answers):
    """Answer the connections to a port so, one after the other, and the last way ever after; yield its loader."""
    (port,) = free_ports(1)
    left = list(answers)

    async def answer(reader, writer):
        await reader.readline()
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        door = Loaded()
        yield Loader(ProxySettings(bind_address="127.0.0.1", http_port=port), door), door


async def test_a_look_that_the_ending_server_took_is_made_again():
    async with answering(b"", b"", b"HTTP/1.1 204 No Content\r\n\r\n") as (loader, door):
        await loader.load(b"new", before=b"old", upstreams=())
        assert door.loaded == [b"new"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n"])
async def test_what_does_not_answer_as_caddy_would_brings_back_what_was_served(answer):
    async with answering(answer) as (loader, door):
        with pytest.raises(NotServed, match="answers on port"):
            await loader.load(b"new", before=b"old", upstreams=())
        assert door.loaded == [b"new", b"old"]
