"""The harness holds what a plugin answers against what the plugin says that it answers."""

from types import ModuleType

import pytest
from cloudos_sdk import Conflict, Manifest, NotFound, UtcTime, hookimpl, public
from cloudos_sdk.http import answers
from pydantic import BaseModel
from quart import Blueprint, Response
from quart_schema import document_response


class Shown(BaseModel):
    name: str
    at: UtcTime


GOOD = '{"name": "a", "at": "2026-01-01T00:00:00Z"}'


def shop(answer):
    """Return a plugin with one endpoint that describes a Shown, or nothing with 204."""
    module = ModuleType("shop")
    routes = Blueprint("shop", "shop")

    @routes.get("/api/shop")
    @public
    @document_response(Shown)
    @answers(204)
    async def view():
        return answer()

    @routes.get("/api/shop/undescribed")
    @public
    async def undescribed():
        return answer()

    module.manifest = Manifest(title="Shop", prefixes=("/api/shop",))
    module.cloudos_routes = hookimpl(lambda: [routes])
    return module


def raising(error):
    def answer():
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: Response(GOOD, content_type="application/json"), None),
        (lambda: Response(status=204), None),
        (lambda: Response(GOOD, 201, content_type="application/json"), "the status is not described"),
        (lambda: Response(GOOD, content_type="text/html"), "the content type 'text/html'"),
        (lambda: {"name": "a"}, '"at" is a required property'),
        (lambda: {"name": 1, "at": "2026-01-01T00:00:00Z"}, "name: "),
        (lambda: {"name": "a", "at": "2026-01-01T00:00:00.123Z"}, "at: "),
        (lambda: {"name": "a", "at": "2026-01-01T00:00:00Z", "more": 1}, "more"),
        (raising(Conflict("busy", "It is busy.")), "the status is not described"),
        (raising(ValueError("crash")), None),
    ],
)
async def test_what_is_not_described_fails_the_test(cloudos, answer, said):
    host = await cloudos(shop(answer))
    await host.anonymous.get("/api/shop")
    misfits, host.check.misfits = host.check.misfits, []
    assert len(misfits) == (said is not None), misfits
    if said is not None:
        assert misfits[0].startswith("GET /api/shop -> ") and said in misfits[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: Response("anything", 299, content_type="text/plain"), None),
        (raising(NotFound("thing", "x")), None),
        (lambda: Response('{"detail": "no"}', 418, content_type="application/json"), '"error" is a required property'),
    ],
)
async def test_who_describes_nothing_is_held_to_the_shape_of_errors_alone(cloudos, answer, said):
    host = await cloudos(shop(answer))
    await host.anonymous.get("/api/shop/undescribed")
    misfits, host.check.misfits = host.check.misfits, []
    assert misfits == [] if said is None else said in misfits[0]
