"""Settings of the proxy plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cloudos_sdk import PluginSettings
from pydantic import Field, IPvAnyAddress, PlainSerializer

Address = Annotated[IPvAnyAddress, PlainSerializer(str)]


class ProxySettings(PluginSettings):
    """`[plugins.proxy]`."""

    # the door: Caddy, its sockets and what it serves
    base_domain: str | None = Field(default=None, description="Domain of the OS UI; apps get a name below it")
    mode: Literal["own", "coexist"] = Field(
        default="own", description="`own` holds the web ports; `coexist` stands behind another web server"
    )
    bind_address: str = Field(default="", description="Address of the web ports; all of the machine's without it")
    http_port: int = Field(default=80, ge=1, le=65535, description="Port of HTTP")
    https_port: int = Field(default=443, ge=1, le=65535, description="Port of HTTPS and HTTP/3")
    http3: bool = Field(default=True, description="Serve HTTP/3 too")
    coexist_port: int = Field(default=8443, ge=1, le=65535, description="Loopback port for the web server in front")
    keep_running: bool = Field(default=False, description="Let Caddy serve on while the host is down")
    caddy_program: Path | None = Field(default=None, description="Caddy to run; the one of the environment without it")
    admin_address: str | None = Field(
        default=None, description="Admin address of a Caddy that runs already; none is started then"
    )
    api_addr: str | None = Field(
        default=None, description="host:port of this node's API as Caddy reaches it; found out without it"
    )
    ui_addr: str | None = Field(default=None, description="host:port of the OS UI; the API's own without it")
    allow_upstreams: tuple[str, ...] = Field(
        default=(), description="Refused upstreams to allow: addresses, networks or host:port"
    )
    probe_seconds: float = Field(default=2.0, gt=0, le=30, description="Seconds that an upstream has to take a call")
    stream_close_seconds: int = Field(
        default=3600, ge=0, description="Seconds that open WebSockets and streams outlive the routes they came by"
    )
    lossless_reload: bool = Field(
        default=True, description="Steer newcomers past a reload of Caddy; false leaves it to Caddy, which loses some"
    )
    auth_socket: bool = Field(
        default=True, description="Let Caddy ask on a socket who may pass; false has it ask the API, slower"
    )
    drain_seconds: float = Field(
        default=0.3,
        ge=0.01,
        le=10,
        description="Seconds that a request has to arrive in full at the server that a load replaced",
    )

    # certificates
    acme_directory: str = Field(
        default="https://acme-v02.api.letsencrypt.org/directory", description="Directory of the ACME server"
    )
    acme_email: str | None = Field(default=None, description="Address that the ACME server may write to")
    acme_root: Path | None = Field(
        default=None, description="PEM file that the ACME server's own certificate chains to"
    )
    acme_dns_provider: dict[str, str] | None = Field(
        default=None, description="Provider for DNS-01: its `name` and what Caddy's module of that name wants"
    )
    route_certificates: Literal["acme", "internal", "none"] = Field(
        default="acme", description="Where names of routes that are no domain of their own have certificates from"
    )
    public_addresses: tuple[Address, ...] = Field(
        default=(), description="Addresses under which the world reaches this node; those of the machine without it"
    )
    dns_resolver: str | None = Field(default=None, description="host:port of a DNS server to ask; the machine's else")
    dns_seconds: float = Field(default=30.0, gt=0, description="Seconds between looks at DNS for what still waits")
    expiring_days: int = Field(default=21, ge=1, description="Days before its end that a certificate is expiring soon")

    # single sign-on
    node_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#@\s]+$",
        description="Address of this node in a browser, where people sign in; found out without it",
    )
