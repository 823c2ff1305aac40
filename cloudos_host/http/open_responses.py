"""Answers that stay open, by whose they are: event streams, logs that are followed, WebSockets.

One ends before its next message, and within seconds where it is silent, once its credentials or what these may do hold
no longer: the user was signed out, demoted, disabled or deleted, the key was revoked, the token has expired.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from cloudos_sdk import Principal, TooManyRequests
from cloudos_sdk.capabilities import Credentials

SWEEP = 15.0
"""Seconds after which an answer that is silent is judged again: for tokens that expire."""


@dataclass(eq=False, slots=True)
class OpenResponse:
    """An open response: principal, credentials and endpoint."""

    endpoint: Any
    principal: Principal | None
    credentials: Credentials
    drained: bool = False
    """It has an end of its own, which a stop of the host waits for; cut short, it must not look whole."""
    lost: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


Judge = Callable[[OpenResponse], Awaitable[bool]]


class OpenResponses:
    """All that are open. Each user has a share of them, so that one cannot take the memory of all."""

    def __init__(self, judge: Judge, share: int, log: Any) -> None:
        self._judge = judge
        self._share = share
        self._log = log
        self._open: set[OpenResponse] = set()
        self._by_user: Counter[str] = Counter()
        self._judging: set[asyncio.Task[None]] = set()
        self.stopping = False

    def hold(self, request: Any) -> OpenResponse:
        """Note an answer to an admitted request. Raises TooManyRequests over the user's share."""
        endpoint, principal = getattr(request, "admitted", (None, None))
        credentials = Credentials(
            "GET",
            request.headers.get("Authorization"),
            request.cookies,
            csrf_token_of(request),
            request.remote_addr,
        )
        answer = OpenResponse(endpoint, principal, credentials, getattr(request, "drained", False))
        if principal is not None:
            if self._by_user[principal.user_id] >= self._share:
                raise TooManyRequests(
                    f"You have {self._share} open streams, as many as one user may have; close some.",
                    code="too_many_streams",
                    retry_after=5,
                )
            self._by_user[principal.user_id] += 1
        self._open.add(answer)
        if principal is not None:  # what changed between its admission and now was told to nobody of it
            self._judge_soon([answer])
        return answer

    def release(self, answer: OpenResponse) -> None:
        """Forget one that has ended."""
        if answer not in self._open:
            return
        self._open.discard(answer)
        if answer.principal is not None:
            self._by_user[answer.principal.user_id] -= 1
            if not self._by_user[answer.principal.user_id]:
                del self._by_user[answer.principal.user_id]

    async def holds(self, answer: OpenResponse) -> bool:
        """Return whether an open response may send its next message; end it if not."""
        if answer.lost:
            return False
        if not answer.ended.is_set() and answer.principal is not None:
            try:
                if await self._judge(answer):
                    return True
            except Exception as error:  # noqa: BLE001 # whatever is unclear lets nobody go on
                self._log.error("an open answer could not be judged", exc_info=error)
            if answer.drained:
                answer.lost = True
                return False
            answer.ended.set()
        return not answer.ended.is_set()

    def changed(self, user_id: str) -> None:
        """Check the open responses of a user again after a change of the user."""
        mine = [a for a in self._open if a.principal is not None and a.principal.user_id == user_id]
        if mine:
            self._judge_soon(mine)

    def end_all(self) -> None:
        """End every one that has no end of its own: the host stops."""
        self.stopping = True
        for answer in self._open:
            if not answer.drained:
                answer.ended.set()

    async def sweep(self) -> None:
        """Judge all of them every 15 s."""
        while True:
            await asyncio.sleep(SWEEP)
            await self._judge_all(list(self._open))

    def _judge_soon(self, answers: list[OpenResponse]) -> None:
        task = asyncio.get_running_loop().create_task(self._judge_all(answers), name="open-answers:judge")
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)

    async def _judge_all(self, answers: list[OpenResponse]) -> None:
        for answer in answers:
            await self.holds(answer)


class GuardedBody:
    """The body of an open answer, each chunk of which is sent while the answer may go on."""

    def __init__(self, body: Any, answers: OpenResponses, answer: OpenResponse) -> None:
        self._body, self._answers, self._answer = body, answers, answer

    async def __aenter__(self) -> GuardedBody:
        """Open the body."""
        self._chunks = (await self._body.__aenter__()).__aiter__()
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the body."""
        await self._body.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[Any]:
        """Return the chunks."""
        return self._guarded()

    async def _guarded(self) -> AsyncIterator[Any]:
        async for chunk in self._chunks:
            if not await self._answers.holds(self._answer):
                if self._answer.drained:  # without the last chunk (RFC 9112, 8), so that nobody takes it for whole
                    raise ConnectionAbortedError("the rights to this answer ended before it did")
                return
            yield chunk


def csrf_token_of(request: Any) -> str | None:
    """Return the CSRF token of a request; a WebSocket, which cannot send headers, has it in its query."""
    token: str | None = request.headers.get("X-CSRF-Token")
    if token is None and request.scheme in ("ws", "wss"):
        token = request.args.get("csrf_token")
    return token
