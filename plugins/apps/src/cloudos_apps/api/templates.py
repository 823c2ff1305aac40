"""The template endpoints."""

from __future__ import annotations

from typing import Any

import orjson
from cloudos_sdk import requires, use
from cloudos_sdk.http import Page
from pydantic import BaseModel
from quart import Blueprint, Response
from quart_schema import document_response, validate_querystring

from cloudos_apps.consent.service import ConsentService
from cloudos_apps.templates.catalog import TemplateCatalog, shown
from cloudos_apps.templates.model.template import wanted_ports

template_routes = Blueprint("templates", __name__)


class TemplateOut(BaseModel):
    """A template as the list shows it."""

    name: str
    display_name: str
    description: str
    category: str
    version: str
    icon: str


class TemplateDetails(TemplateOut):
    """A template with its settings, services, ports, and the rights that an admin would have to allow."""

    website: str | None
    web_port: str | None
    config: list[dict[str, Any]]
    services: list[dict[str, Any]]
    dangers: list[str]
    rights: list[str]
    source: str | None


class Category(BaseModel):
    """A category and how many templates it has."""

    name: str
    count: int


@template_routes.get("/api/templates")
@requires("apps:read")
@validate_querystring(Page)
@document_response(list[TemplateOut])
async def list_templates(query_args: Page) -> Response:
    """List the templates by name, `limit` of them; `after` the last one's name comes the next page."""
    listing = await use(TemplateCatalog).listing()
    return _json(listing.page(query_args.limit, query_args.before, query_args.after))


@template_routes.get("/api/templates/categories")
@requires("apps:read")
@document_response(list[Category])
async def categories() -> Response:
    """List the categories of the templates."""
    return _json((await use(TemplateCatalog).listing()).categories)


@template_routes.get("/api/templates/<name>")
@requires("apps:read")
@document_response(TemplateDetails)
async def get_template(name: str) -> Response:
    """Return a template with the settings that it takes."""
    template, origin = await use(TemplateCatalog).find(name)
    defaults = {field.name: field.default for field in template.config if field.default is not None}
    dangers, rights = await use(ConsentService).asked(template, wanted_ports(template, defaults), origin)
    body = {
        **shown(template),
        "website": template.website,
        "web_port": template.web_port,
        "config": [
            field.model_dump(mode="json", exclude_none=True, exclude={"default"} if field.hidden else None)
            for field in template.config
        ],
        "services": [
            {
                "name": service.name,
                "image": service.image,
                "memory_mb": service.memory_mb,
                "cpus": service.cpus,
                "ports": [port.model_dump(mode="json") for port in service.ports],
                "volumes": [volume.model_dump(mode="json", exclude_none=True) for volume in service.volumes],
            }
            for service in template.services
        ],
        "dangers": dangers,
        "rights": rights,
        "source": await use(TemplateCatalog).source_of(name),
    }
    return _json(orjson.dumps(body))


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")
