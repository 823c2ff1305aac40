"""The bodies and answers of the key, session and sync endpoints."""

from __future__ import annotations

from typing import Annotated, Any

from cloudos_sdk import UtcTime
from cloudos_sdk.capabilities.mcp import MCP_SCOPES
from cloudos_sdk.http import Body, Query
from pydantic import AfterValidator, BaseModel, Field, SerializerFunctionWrapHandler, field_validator, model_serializer

MOLLY = "molly"
NAMESPACE = r"^[a-z0-9][a-z0-9._-]{0,62}$"

Namespace = Annotated[str, Field(pattern=NAMESPACE, description="A bucket of memories, such as work")]


def _name(given: str) -> str:
    if not given.strip():
        raise ValueError("a name has a character that can be seen")
    return given.strip()


class UserQuery(Query):
    """Whose keys or sessions are listed: the caller's, or those of a user whom an admin names."""

    user: str | None = Field(default=None, max_length=64)


class NewKey(Body):
    """A key to be made for one AI client. Without `expires_in_days` it holds until it is revoked."""

    name: Annotated[str, AfterValidator(_name)] = Field(min_length=1, max_length=100)
    client_type: str = Field(default="other", pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)
    namespace: Namespace = "default"
    scopes: list[str] = Field(min_length=1, max_length=16)
    namespaces_read: list[Namespace] | None = Field(
        default=None, max_length=100, description="Further namespaces that it may read, beside its own and Molly's"
    )
    expires_in_days: int | None = Field(default=None, ge=1, le=3650)

    @field_validator("namespace")
    @classmethod
    def _not_mollys(cls, given: str) -> str:
        if given == MOLLY:
            raise ValueError("only Molly writes to molly; every key with read_memory may read it")
        return given

    @field_validator("client_type")
    @classmethod
    def _not_molly(cls, given: str) -> str:
        if given == MOLLY:
            raise ValueError("molly is no MCP client; she writes without a key")
        return given

    @field_validator("scopes")
    @classmethod
    def _known(cls, given: list[str]) -> list[str]:
        for scope in given:
            if scope not in MCP_SCOPES:
                raise ValueError(f"there is no scope {scope[:40]!r}; there are {', '.join(MCP_SCOPES)}")
        return [scope for scope in MCP_SCOPES if scope in given]


class KeyOut(BaseModel):
    """A key, as it is listed."""

    id: str
    name: str
    client_type: str
    namespace: str
    scopes: list[str]
    key_prefix: str
    expires_at: UtcTime | None
    namespaces_read: list[str] = []
    created_at: UtcTime
    last_used_at: UtcTime | None = None


class KeyCreatedOut(BaseModel):
    """A new key with its bearer, which is shown this once."""

    id: str
    name: str
    client_type: str
    namespace: str
    scopes: list[str]
    key_prefix: str
    expires_at: UtcTime | None
    raw: str
    namespaces_read: list[str] | None = None

    @model_serializer(mode="wrap")
    def _as_printed(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the grant if there is none."""
        shown: dict[str, Any] = whole(self)
        if not self.namespaces_read:
            shown.pop("namespaces_read", None)
        return shown


class SessionOut(BaseModel):
    """A connection of an MCP client that is open now."""

    id: str
    client_name: str
    transport: str
    ip: str | None
    connected_at: UtcTime
    last_active_at: UtcTime
    client_version: str
    calls: int
    key_id: str


class NamespaceChoice(Body):
    """One namespace."""

    namespace: Namespace


class SyncNamespaceOut(BaseModel):
    """The replication of one namespace; `outbox` counts the notes that wait for it."""

    namespace: str
    enabled: bool
    cursor: int
    outbox: int
    resync_requested_at: UtcTime | None
    last_pushed_at: UtcTime | None
    last_pulled_at: UtcTime | None
    error: str | None
    created_at: UtcTime
    updated_at: UtcTime


class SyncStatusOut(BaseModel):
    """The sync state of the caller's namespaces, and whether a Control Panel is connected."""

    connected: bool
    detail: str
    namespaces: list[SyncNamespaceOut]
