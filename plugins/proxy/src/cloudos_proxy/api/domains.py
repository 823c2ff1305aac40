"""The domain endpoints."""

from __future__ import annotations

from cloudos_sdk import requires, use
from cloudos_sdk.http import answers
from quart import Blueprint, Response
from quart_schema import document_response, validate_request, validate_response

from cloudos_proxy.domains.schemas import CertificateOut, DomainChange, DomainOut, NewDomain, given
from cloudos_proxy.domains.service import DomainService

domain_routes = Blueprint("domains", __name__)


@domain_routes.get("/api/domains")
@requires("domains:read")
@validate_response(list[DomainOut])
async def list_domains() -> list[DomainOut]:
    """List the domains, newest first."""
    return await use(DomainService).list_domains()


@domain_routes.post("/api/domains")
@requires("domains:write")
@validate_request(NewDomain)
@document_response(DomainOut, 201)
@answers(501)
async def add(data: NewDomain) -> Response:
    """Add a domain; with `auto_ssl` its certificate is obtained without a further call."""
    return _answer(await use(DomainService).add(given(data)), 201)


@domain_routes.put("/api/domains/<domain_id>")
@requires("domains:write")
@validate_request(DomainChange)
@document_response(DomainOut)
@answers(501)
async def change(domain_id: str, data: DomainChange) -> Response:
    """Change a domain; omitted fields stay as they are."""
    return _answer(await use(DomainService).change(domain_id, given(data)))


@domain_routes.delete("/api/domains/<domain_id>")
@requires("domains:write")
@answers(204)
async def remove(domain_id: str) -> Response:
    """Remove a domain and its certificate."""
    await use(DomainService).remove(domain_id)
    return Response(status=204)


@domain_routes.get("/api/domains/<domain_id>/ssl")
@requires("domains:read")
@document_response(CertificateOut)
async def certificate(domain_id: str) -> Response:
    """Return the state of a domain's certificate, its last error, and the addresses in DNS."""
    found = await use(DomainService).certificate(domain_id)
    return Response(found.model_dump_json(), content_type="application/json")


def _answer(domain: DomainOut, status: int = 200) -> Response:
    return Response(domain.model_dump_json(), status, content_type="application/json")
