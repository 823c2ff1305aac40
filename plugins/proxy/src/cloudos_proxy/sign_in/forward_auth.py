"""Forward authentication of gated routes. Answered from memory; fails closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

import orjson
from cloudos_sdk import CloudOSError, Context, Principal
from cloudos_sdk.capabilities import Authenticator, Credentials, Sessions, Users

from cloudos_proxy.caddy.config.forward_auth_handlers import SPENT
from cloudos_proxy.caddy.open_visits import NoteVisit, VisitRight
from cloudos_proxy.sign_in.auth_request import AuthDecision, AuthRequest, cookies_of
from cloudos_proxy.sign_in.page import PAGE_HEADERS, refusal_page
from cloudos_proxy.sign_in.session_handoff import SessionHandoff

SCOPES = frozenset({"proxy:read", "proxy:write"})
"""Scopes of which an API key needs one, to open what is behind the gate."""

_JSON = ("Content-Type", "application/json")
_NO_STORE = ("Cache-Control", "no-store")
_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="cloudos"')


class ForwardAuth:
    """The gate."""

    def __init__(
        self,
        ctx: Context,
        hand_over: SessionHandoff,
        node_url: Callable[[], Awaitable[str]],
        note: NoteVisit,
    ) -> None:
        self._ctx = ctx
        self._hand_over = hand_over
        self._node_url = node_url
        self._note = note

    def judge_known(self, asked: AuthRequest) -> AuthDecision | None:
        """Return the answer for a visitor whose credentials are cached and admitted, else None."""
        person = self._by_cookie(asked)
        if person is not None:
            return self._welcome(asked, person, spent=False) if _may(person, asked.roles) else None
        if asked.authorization is None:
            return None
        authenticator = self._ctx.find(Authenticator)
        known = authenticator.recognise(asked.authorization) if authenticator is not None else None
        if known is None or not _may(known, asked.roles):
            return None
        return self._welcome(asked, known, spent=True)

    async def judge(self, asked: AuthRequest) -> AuthDecision:
        """Return 200 with the identity, a redirect to the sign-in page for browsers, or 401."""
        known = self.judge_known(asked)
        if known is not None:
            return known
        person = self._by_cookie(asked)
        spent = person is None and asked.authorization is not None
        if person is None:
            person = await self._by_credentials(asked)
        if person is not None and _may(person, asked.roles):
            return self._welcome(asked, person, spent=spent)
        if asked.wants_page and asked.forwarded and asked.method in ("GET", "HEAD"):
            return await self._page(asked, person)
        return _refused(person)

    async def still_holds(self, right: VisitRight) -> bool:
        """Return whether a visit's right would be admitted now."""
        person = await self._person(right)
        if person is None:
            return False
        users = self._ctx.find(Users)
        if users is not None:
            now = users.find(person.user_id)
            if now is None:
                return False
            person = replace(person, role=now.role if person.role.includes(now.role) else person.role)
        return _may(person, right.roles)

    async def _person(self, right: VisitRight) -> Principal | None:
        if right.session_id is not None:
            sessions = self._ctx.find(Sessions)
            return sessions.person(right.session_id) if sessions is not None else None
        authenticator = self._ctx.find(Authenticator)
        if authenticator is None or right.authorization is None:
            return None
        known = authenticator.recognise(right.authorization)
        if known is not None:
            return known
        try:
            return await authenticator.authenticate(Credentials("GET", right.authorization, {}, None, None))
        except CloudOSError:
            return None

    def _welcome(self, asked: AuthRequest, person: Principal, *, spent: bool) -> AuthDecision:
        """Admit a visitor and record the right."""
        if asked.peer is not None:
            authorization = asked.authorization if person.session_id is None else None
            right = VisitRight(person.user_id, person.session_id, authorization, asked.roles, asked.route)
            self._note(asked.peer, right, shared=asked.shared)
        return _welcome(person, spent=spent)

    def _by_cookie(self, asked: AuthRequest) -> Principal | None:
        session_id = self._hand_over.session_of(asked.cookies, asked.host, secure=asked.secure)
        sessions = self._ctx.find(Sessions) if session_id is not None else None
        return sessions.person(session_id) if sessions is not None and session_id is not None else None

    async def _by_credentials(self, asked: AuthRequest) -> Principal | None:
        """Identify a caller by `Authorization`, or by the node's own cookies and their token."""
        authenticator = self._ctx.find(Authenticator)
        if authenticator is None or (asked.authorization is None and not asked.csrf_token):
            return None
        cookies = cookies_of(asked.cookies)
        try:
            return await authenticator.authenticate(
                Credentials("GET", asked.authorization, cookies, asked.csrf_token, asked.address)
            )
        except CloudOSError:
            return None

    async def _page(self, asked: AuthRequest, person: Principal | None) -> AuthDecision:
        here = f"{'https' if asked.secure else 'http'}://{asked.netloc}{asked.uri}"
        mark, cookie = self._hand_over.state(asked.cookies, secure=asked.secure)
        sign_in = f"{await self._node_url()}/api/proxy/handover?state={mark}&to={quote(here, safe='')}"
        if person is None:
            return AuthDecision(302, (("Location", sign_in), ("Set-Cookie", cookie), _NO_STORE))
        page = refusal_page(person.name, f"{sign_in}&again=true")
        return AuthDecision(401, (*PAGE_HEADERS, ("Set-Cookie", cookie)), page)


def _may(person: Principal, roles: str) -> bool:
    if person.kind not in ("user", "api_key") or (roles and person.role.value not in roles.split(",")):
        return False
    return person.scopes is None or not SCOPES.isdisjoint(person.scopes)


def _welcome(person: Principal, *, spent: bool) -> AuthDecision:
    """Return the identity headers. A key is named by its id, because its name is free text."""
    name = person.name if person.kind == "user" else person.id
    headers = [("Remote-User", name), ("Remote-Groups", person.role.value), ("Remote-Name", name)]
    if "@" in name:
        headers.append(("Remote-Email", name))
    if spent:
        headers.append((SPENT, "1"))
    return AuthDecision(200, tuple(headers))


def _refused(person: Principal | None) -> AuthDecision:
    if person is None:
        problem = {"error": "sign_in_required", "message": "Sign in at this node first, or send an API key."}
    else:
        problem = {"error": "role_not_allowed", "message": "Your role or key may not open this."}
    return AuthDecision(401, (_JSON, _NO_STORE, _CHALLENGE), orjson.dumps(problem))
