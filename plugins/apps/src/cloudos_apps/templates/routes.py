"""The template endpoints."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from cloudos_sdk import requires, use
from cloudos_sdk.http import json_rows
from pydantic import BaseModel
from quart import Blueprint, Response
from quart_schema import document_response

from cloudos_apps.consent import Consent
from cloudos_apps.templates.catalogue import Catalogue
from cloudos_apps.templates.model import Template, wanted_ports

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
    """A template with what it asks for: its settings, services, ports, and what an admin would have to allow."""

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
@document_response(list[TemplateOut])
async def list_templates() -> Response:
    """List the templates."""
    return json_rows([_shown(template) for template in await use(Catalogue).all()])


@template_routes.get("/api/templates/categories")
@requires("apps:read")
@document_response(list[Category])
async def categories() -> Response:
    """List the categories of the templates."""
    return json_rows(await use(Catalogue).categories())


@template_routes.get("/api/templates/<name>")
@requires("apps:read")
@document_response(TemplateDetails)
async def get_template(name: str) -> Response:
    """Return a template with the settings that it takes."""
    template = await use(Catalogue).get(name)
    defaults = {field.name: field.default for field in template.config if field.default is not None}
    dangers, rights = await asyncio.to_thread(use(Consent).asked, template, wanted_ports(template, defaults))
    body = {
        **_shown(template),
        "website": template.website,
        "web_port": template.web_port,
        "config": [field.model_dump(mode="json", exclude_none=True) for field in template.config],
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
        "source": await use(Catalogue).source_of(name),
    }
    return Response(orjson.dumps(body), content_type="application/json")


def _shown(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "display_name": template.display_name,
        "description": template.description,
        "category": template.category,
        "version": template.version,
        "icon": template.icon,
    }
