"""A node with notes, a plan that a test sets, and short ways to write and read."""

from __future__ import annotations

import pytest
from cloudos_sdk.capabilities import NoteStore, PlanSource
from cloudos_sdk.testing.fakes import FakePlanSource, providing


class Node:
    """A running host with notes."""

    def __init__(self, running, plan) -> None:
        self.running = running
        self.plan = plan
        self.client = running.operator

    @property
    def store(self):
        """The store, as other plugins have it."""
        return self.running.ctx("notes").use(NoteStore)

    async def ask(self, method, path, status=200, client=None, **kwargs):
        """Send a request; return the JSON of the answer, whose status is checked."""
        answer = await (client or self.client).request(method, path, **kwargs)
        text = await answer.get_data()
        assert answer.status_code == status, text
        return await answer.get_json() if text else None

    async def get(self, path, **kwargs):
        """Read."""
        return await self.ask("GET", path, **kwargs)

    async def write(self, content="", **fields):
        """Write a note by the API."""
        return await self.ask("POST", "/api/notes", 201, json={"content": content, **fields})

    async def change(self, note, status=200, **fields):
        """Change a note by the API."""
        return await self.ask("PUT", f"/api/notes/{note['id']}", status, json=fields)

    async def read(self, note):
        """Return a note as it is now."""
        return await self.get(f"/api/notes/{note['id']}")

    async def titles(self, query=""):
        """Return the titles of a list."""
        return [note["title"] for note in await self.get(f"/api/notes{query}")]

    async def links(self, note):
        """Return the titles that a note links to, those that link to it, and the broken ones."""
        found = await self.get(f"/api/notes/{note['id']}/links")
        return [n["title"] for n in found["out"]], [n["title"] for n in found["back"]], found["broken"]

    async def events(self):
        """Return type and resource of every event."""
        return [(event.type, event.resource) for event in await self.running.event_log()]


@pytest.fixture
def notes(cloudos):
    """Start a node with notes."""

    async def start(*others, plan="community", **settings) -> Node:
        source = FakePlanSource(plan)
        host = await cloudos("notes", providing(PlanSource, source), *others, settings={"notes": settings})
        return Node(host, source)

    return start
