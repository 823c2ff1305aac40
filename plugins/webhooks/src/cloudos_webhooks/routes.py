"""The webhook endpoints."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import Page, answers, json_rows
from pydantic import BaseModel
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring, validate_request

from cloudos_webhooks.delivery.manual_delivery import ManualDelivery
from cloudos_webhooks.delivery.store import Deliveries
from cloudos_webhooks.event_catalog import event_types
from cloudos_webhooks.schemas import DeliveryOut, EventType, NewWebhook, Rotated, WebhookChange, WebhookMade, WebhookOut
from cloudos_webhooks.service import Webhooks

routes = Blueprint("webhooks", __name__)


def _answer(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, content_type="application/json")


@routes.get("/api/webhooks")
@requires("webhooks:read")
@document_response(list[WebhookOut])
async def list_webhooks() -> Response:
    """List the webhooks, newest first, without their secrets."""
    return json_rows([hook.model_dump(mode="json") for hook in await use(Webhooks).listed()])


@routes.post("/api/webhooks")
@requires("webhooks:write")
@validate_request(NewWebhook)
@document_response(WebhookMade, 201)
async def create_webhook(data: NewWebhook) -> Response:
    """Make a webhook; its secret is shown here and never again."""
    return _answer(await use(Webhooks).create(data), 201)


@routes.get("/api/webhooks/event-types")
@requires("webhooks:read")
@document_response(list[EventType])
async def list_event_types() -> Response:
    """List the events that a webhook may ask for."""
    return json_rows(
        [{"type": type, "title": title, "available": there} for type, (title, there) in event_types().items()]
    )


@routes.get("/api/webhooks/<webhook_id>")
@requires("webhooks:read")
@document_response(WebhookOut)
async def get_webhook(webhook_id: str) -> Response:
    """Return a webhook without its secret."""
    return _answer(await use(Webhooks).get(webhook_id))


@routes.put("/api/webhooks/<webhook_id>")
@requires("webhooks:write")
@validate_request(WebhookChange)
@document_response(WebhookOut)
async def update_webhook(webhook_id: str, data: WebhookChange) -> Response:
    """Change a webhook; omitted fields stay. `active: true` or another URL restarts a failing one."""
    return _answer(await use(Webhooks).update(webhook_id, data))


@routes.delete("/api/webhooks/<webhook_id>")
@requires("webhooks:write")
@answers(204)
async def delete_webhook(webhook_id: str) -> Response:
    """Remove a webhook and all that is kept of its deliveries."""
    await use(Webhooks).delete(webhook_id)
    return Response(status=204)


@routes.post("/api/webhooks/<webhook_id>/rotate-secret")
@requires("webhooks:write")
@document_response(Rotated)
async def rotate_secret(webhook_id: str) -> Response:
    """Replace the secret; for 24 hours deliveries carry the signature of the one before too."""
    return _answer(await use(Webhooks).rotate(webhook_id))


@routes.post("/api/webhooks/<webhook_id>/test")
@requires("webhooks:write")
@document_response(DeliveryOut)
async def test_webhook(webhook_id: str) -> Response:
    """Send a message of type `webhook.test` now and return how that went."""
    return _answer(DeliveryOut(**await use(ManualDelivery).test(webhook_id)))


@routes.get("/api/webhooks/<webhook_id>/deliveries")
@requires("webhooks:read")
@validate_querystring(Page)
@document_response(list[DeliveryOut])
async def list_deliveries(webhook_id: str, query_args: Page) -> Response:
    """List a webhook's deliveries with every try, newest first."""
    await use(Webhooks).get(webhook_id)
    return json_rows(await use(Deliveries).page(webhook_id, query_args))


@routes.post("/api/webhooks/<webhook_id>/deliveries/<delivery_id>/redeliver")
@requires("webhooks:write")
@document_response(DeliveryOut)
async def redeliver(webhook_id: str, delivery_id: str) -> Response:
    """Send a delivery once more, now, and return it with that try."""
    return _answer(DeliveryOut(**await use(ManualDelivery).redeliver(webhook_id, delivery_id)))
