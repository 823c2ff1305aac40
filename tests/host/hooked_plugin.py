"""A plugin whose blueprint has something to do before and after its requests."""

from cloudos_sdk import Manifest, hookimpl, public
from quart import Blueprint

manifest = Manifest(title="Hooked", prefixes=("/api/hooked",))
routes = Blueprint("hooked", __name__)
seen = []


@routes.before_request
async def before():
    seen.append("before")


@routes.after_request
async def after(response):
    response.headers["X-After"] = "yes"
    return response


@routes.get("/api/hooked")
@public
async def answer():
    return {"hooked": True}


@hookimpl
def cloudos_routes():
    return [routes]
