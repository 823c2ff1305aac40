"""A small plugin that uses what the host offers."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType

from cloudos_sdk import Conflict, Event, Manifest, Permission, Role, current, hookimpl, licensed, requires
from cloudos_sdk.http import Body
from quart import Blueprint
from quart_schema import validate_request


class NewText(Body):
    text: str


@dataclass(frozen=True, kw_only=True)
class Jotted(Event, type="jotter.jotted", audience="jotter:read"):
    """Something was jotted down."""

    text: str


def notes_plugin():
    """Return the plugin `jotter`; `seen` holds the events that it has read."""
    module = ModuleType("jotter")
    module.seen = []
    module.entered, module.release = asyncio.Event(), asyncio.Event()
    module.manifest = Manifest(
        title="Jotter",
        prefixes=("/api/jotter",),
        emits=(Jotted,),
        permissions=(
            Permission("jotter:read", "Read", Role.VIEWER),
            Permission("jotter:write", "Write", Role.OPERATOR),
        ),
    )
    routes = Blueprint("jotter", "jotter")

    @routes.post("/api/jotter")
    @requires("jotter:write")
    @validate_request(NewText)
    async def jot(data):
        def write(session):
            current_ctx.events.emit(session, Jotted(resource="jot_1", text=data.text))
            if data.text == "fail":
                raise Conflict("refused", "No.")

        current_ctx = current()
        await current_ctx.db.write(write)
        return {"ok": True}, 201

    @routes.post("/api/jotter/long")
    @requires("jotter:write")
    @validate_request(NewText)
    async def long(data):
        ctx = current()
        id = await ctx.db.write(lambda s: ctx.operations.start(s, "jot", "jot_1", "Jot", {"text": data.text}))
        return {"operation_id": id}, 202

    @routes.get("/api/jotter/graph")
    @licensed("orbit_graph")
    @requires("jotter:read")
    async def graph():
        return {}

    @routes.get("/api/jotter/crash")
    @requires("jotter:read")
    async def crash():
        raise RuntimeError("secret detail")

    @hookimpl
    def cloudos_routes():
        return [routes]

    @hookimpl
    @asynccontextmanager
    async def cloudos_lifespan(ctx):
        async def read(envelope):
            module.seen.append(envelope)

        async def run(operation):
            module.entered.set()
            await module.release.wait()
            return {"resumed": operation.resumed}

        ctx.events.subscribe(read, Jotted, name="reader", from_start=True)
        ctx.operations.register("jot", run)
        yield

    module.cloudos_routes = cloudos_routes
    module.cloudos_lifespan = cloudos_lifespan
    return module
