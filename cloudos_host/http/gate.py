"""The one place that decides about a request: plugin state, identity, permission, licence, rate."""

from __future__ import annotations

import ipaddress
import itertools
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from cloudos_sdk import (
    CloudOSError,
    Forbidden,
    InvalidRequest,
    NotFound,
    Policy,
    Principal,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from cloudos_sdk.addresses import address_share, parse_address
from cloudos_sdk.capabilities import Authenticator, BearerAuthenticator, Credentials, OwnProxy, Sessions
from cloudos_sdk.context import enter_context
from cloudos_sdk.identity import Caller, act_as
from quart import Request, Websocket
from werkzeug.exceptions import NotFound as NoSuchPath
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from cloudos_host.http.open_responses import OpenResponse, csrf_token_of
from cloudos_host.http.permissions import PermissionTable
from cloudos_host.plugins.license import PlanLicense
from cloudos_host.plugins.registry import PluginRecord, PluginState, covers, owner

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_PARAMETERS = 100


@dataclass(frozen=True)
class Endpoint:
    """A view function's plugin and policy."""

    record: PluginRecord
    policy: Policy


class Gate:
    """Admits a request, or raises the error that it is answered with."""

    def __init__(
        self,
        records: Iterable[PluginRecord],
        licence: PlanLicense,
        permissions: PermissionTable,
        authenticator: Callable[[], Authenticator | None],
        bearers: Callable[[], Iterable[BearerAuthenticator]],
        own_proxy: Callable[[], OwnProxy | None] = lambda: None,
        sessions: Callable[[], Sessions | None] = lambda: None,
        *,
        max_body: int,
        trust_proxy: bool,
    ) -> None:
        self.records = records
        self._licence = licence
        self.permissions = permissions
        self._authenticator = authenticator
        self._bearers = bearers
        self._own_proxy = own_proxy
        self._sessions = sessions
        self._max_body = max_body
        self._trust_proxy = trust_proxy
        self.endpoints: dict[str, Endpoint] = {}
        self._limiter: Any = None
        self._run = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def admit(self, request: Request | Websocket, mounted: Endpoint | None = None) -> None:
        """Decide about one request and set the caller and the plugin it runs for."""
        address = self._address(request)
        request_id = f"{self._run}-{next(self._count):x}"
        act_as(Caller(None, address, request_id))
        if "\0" in request.path:
            raise NoSuchPath()
        if request.query_string.count(b"&") >= _MOST_PARAMETERS:
            raise InvalidRequest(f"A request has at most {_MOST_PARAMETERS} query parameters; send fewer.")
        endpoint = mounted or (self.endpoints.get(request.endpoint) if request.endpoint else None)
        if endpoint is None:
            await self._refuse_unknown(request, address)
            return
        policy = endpoint.policy
        if policy.max_body is not None and isinstance(request, Request):
            # before anything is awaited, so before any of the body is taken
            request.body = request.body_class(request.content_length, policy.max_body)
        principal = await self._let_in(endpoint, request, address, request_id)
        for feature in policy.features:
            self._licence.require(feature)
        if policy.rate is not None:
            self._count_call(policy, request.endpoint or "", principal, address)
        if isinstance(request, Request) and request.method not in _SAFE:
            self._check_body(request, policy)
            request.body.judge = partial(self._judge_again, endpoint, request, address, principal)  # type: ignore[attr-defined]

    async def _let_in(
        self, endpoint: Endpoint, request: Request | Websocket, address: str | None, request_id: str
    ) -> Principal | None:
        """Authorize the principal, and run the rest of the request as this principal and plugin."""
        record = endpoint.record
        if record.state is not PluginState.RUNNING:
            raise await self._down(record, request, address)
        enter_context(record.context)
        principal = await self._who(endpoint.policy, request, address)
        act_as(Caller(principal, address, request_id))
        if principal is not None:
            self._check(endpoint.policy, principal)
        request.admitted = (endpoint, principal)  # type: ignore[union-attr] # for the answers that stay open
        return principal

    async def _judge_again(
        self, endpoint: Endpoint, request: Request, address: str | None, admitted: Principal | None
    ) -> None:
        """Authorize the principal again once the body has arrived, which may take a minute. Raises as `admit`."""
        try:
            now = await self._who(endpoint.policy, request, address)
        except Unauthenticated as error:
            now = self._by_session(admitted, error)
        if now == admitted:
            return
        if now is not None:
            self._check(endpoint.policy, now)
        raise Forbidden("What you may do has changed since this request began; send it again.", code="rights_changed")

    def _by_session(self, admitted: Principal | None, error: Unauthenticated) -> Principal:
        """Return the principal by the session of a token that expired during the request."""
        if error.code == "token_expired" and admitted is not None and admitted.session_id is not None:
            sessions = self._sessions()
            now = sessions.person(admitted.session_id) if sessions is not None else None
            if now is not None:
                return now
        raise error

    async def _who(self, policy: Policy, request: Request | Websocket, address: str | None) -> Principal | None:
        if policy.access == "bearer":
            return await self._by_bearer(request.headers.get("Authorization"), policy.bearer or "", address)
        return await self._identify(request, address, required=policy.access != "public")

    async def readmits(self, answer: OpenResponse) -> bool:
        """Return whether an open response would be admitted again, for the same principal with the same rights."""
        endpoint: Endpoint = answer.endpoint
        if endpoint.record.state is not PluginState.RUNNING:
            return False
        policy, authorization = endpoint.policy, answer.credentials.authorization
        try:
            principal: Principal | None
            if policy.access == "bearer":
                principal = await self._by_bearer(authorization, policy.bearer or "", answer.credentials.address)
            else:
                try:
                    principal = await self._principal(answer.credentials)
                except Unauthenticated as error:
                    if not answer.drained:
                        raise
                    principal = self._by_session(answer.principal, error)
            if principal is not None:
                self._check(policy, principal)
        except CloudOSError:
            return False
        return principal == answer.principal

    async def _identify(self, request: Request | Websocket, address: str | None, *, required: bool) -> Principal | None:
        if self._authenticator() is None:
            if required:
                raise Unavailable("Nobody can sign in: no plugin provides it now.", code="sign_in_unavailable")
            return None
        authorization = request.headers.get("Authorization")
        if authorization is None and isinstance(request, Websocket) and _from_elsewhere(request):
            raise Forbidden("A page of another site may not open this with your cookies.", code="origin_not_allowed")
        credentials = Credentials(request.method, authorization, request.cookies, csrf_token_of(request), address)
        try:
            principal = await self._principal(credentials)
        except (Unauthenticated, Forbidden):
            if required:
                raise
            return None
        if principal is None and required:
            raise Unauthenticated()
        return principal

    async def _principal(self, credentials: Credentials) -> Principal | None:
        authenticator = self._authenticator()
        if authenticator is None:
            return None
        if credentials.authorization is not None:
            known = authenticator.recognise(credentials.authorization)
            if known is not None:
                return known
        return await authenticator.authenticate(credentials)

    async def _by_bearer(self, authorization: str | None, prefix: str, address: str | None) -> Principal:
        """Identify the caller of an endpoint that takes one family of bearers and nothing else: no cookie, no token."""
        if authorization is None or not authorization.removeprefix("Bearer ").startswith(prefix):
            raise Unauthenticated(f"Send `Authorization: Bearer {prefix}…`.")
        for authenticator in self._bearers():
            if authenticator.prefix == prefix:
                known = authenticator.recognise(authorization)
                return known if known is not None else await authenticator.authenticate(authorization, address)
        raise Unavailable(f"Nothing here knows keys that begin with {prefix}.", code="sign_in_unavailable")

    def _check(self, policy: Policy, principal: Principal) -> None:
        if policy.access == "in_person" and principal.kind != "user":
            raise Forbidden("Only a signed-in person may do this, not a key.", code="person_required")
        if policy.permission is not None and not self.permissions.allows(principal, policy.permission):
            raise Forbidden(f"You lack the permission {policy.permission}.", permission=policy.permission)

    def _count_call(self, policy: Policy, endpoint: str, principal: Principal | None, address: str | None) -> None:
        rate = policy.rate
        if rate is None:
            return
        who = principal.id if rate.by == "caller" and principal is not None else address_share(address or "")
        import limits  # 60 ms, which a start does not have

        if self._limiter is None:
            self._limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
        if not self._limiter.hit(limits.RateLimitItemPerSecond(rate.limit, rate.seconds), endpoint, who):
            raise TooManyRequests("Too many requests; wait a little.", retry_after=rate.seconds)

    def _check_body(self, request: Request | Websocket, policy: Policy) -> None:
        length = request.content_length
        if length is not None and length > (policy.max_body or self._max_body):
            raise RequestEntityTooLarge()
        named = bool(length) or request.mimetype != ""
        if named and "*/*" not in policy.media_types and request.mimetype not in policy.media_types:
            raise UnsupportedMediaType(f"Send the body as {' or '.join(policy.media_types)}.")

    def _address(self, request: Request | Websocket) -> str | None:
        """Return the client address: as given by the node's own proxy, else of the connection.

        What a server of the operator's own says is believed only with `trust_proxy`, and from loopback.
        """
        proxy = self._own_proxy()
        visitor = proxy.visitor(request.headers.get) if proxy is not None else None
        if visitor is not None:
            return visitor
        peer = request.remote_addr
        address = parse_address(peer) or peer
        if self._trust_proxy and _is_loopback(address):
            return _forwarded(request.headers.getlist("X-Forwarded-For")) or address
        return address

    def is_free(self, path: str) -> bool:
        """Tell whether a path is no plugin's and none of the API."""
        return "\0" not in path and not covers("/api", path) and owner(self.records, path) is None

    async def _refuse_unknown(self, request: Request | Websocket, address: str | None) -> None:
        record = owner(self.records, request.path)
        if record is not None and record.state is not PluginState.RUNNING:
            raise await self._down(record, request, address)
        if isinstance(request.routing_exception, NoSuchPath) and record is None and request.path.startswith("/api/"):
            area = "/".join(request.path.split("/")[:3])
            raise NotFound(
                "feature",
                area,
                code="feature_not_installed",
                message=f"No installed plugin serves {area}; `cloudos plugins` lists what is installed.",
            )

    async def _down(self, record: PluginRecord, request: Request | Websocket, address: str | None) -> Unavailable:
        """Return the error for a plugin that is not running, with the reason for principals who may see plugins."""
        title = record.manifest.title if record.manifest else record.id
        state = record.state.value
        message = f"{title} does not run now; an admin finds out why by `cloudos plugins`."
        try:
            who = await self._identify(request, address, required=False)
        except CloudOSError:
            who = None
        if who is not None and self.permissions.allows(who, "plugins:read"):
            message = f"{title} is {state}: {record.reason or 'not started yet'}"
        return Unavailable(message, code="plugin_unavailable", retry_after=5, plugin=record.id, state=state)


def _forwarded(fields: Iterable[str]) -> str | None:
    """Return the nearest address in `X-Forwarded-For` that is not this machine's; each hop is the word of the next.

    None where there is none, and where a hop is no address: what stands before it is anybody's word.
    """
    for hop in reversed(",".join(fields).split(",")):
        address = parse_address(hop)
        if not _is_loopback(address):
            return address
    return None


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _from_elsewhere(request: Request | Websocket) -> bool:
    """Return whether a WebSocket is opened by a page of another host (RFC 6455, 10.2)."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower()
    except ValueError:
        return True
