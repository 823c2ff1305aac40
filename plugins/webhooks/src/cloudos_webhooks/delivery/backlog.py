"""The backlog of one endpoint: in memory while it keeps up, else read from the database.

Memory holds a page at most. `next` is called by the endpoint's queue alone, `offer` by the intake, both in the event
loop. What is new is numbered in its order, so that the last number tried tells what is still to come.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from cloudos_webhooks.delivery.store import Deliveries, DueDelivery

PAGE = 500


class Backlog:
    """The deliveries that wait for one endpoint."""

    def __init__(self, webhook_id: str, deliveries: Deliveries) -> None:
        self._id = webhook_id
        self._deliveries = deliveries
        self._new: deque[DueDelivery] = deque()
        self._behind = True
        self._reached = 0
        self._refused = True
        self._all = False
        self.next_due: datetime | None = None

    @property
    def unread(self) -> bool:
        """Return whether the database may have unread deliveries."""
        return self._behind or self._refused

    def offer(self, due: DueDelivery) -> None:
        """Add a committed delivery if there is room; else it is read from the database later."""
        if not self._behind and len(self._new) < PAGE:
            self._new.append(due)
        else:
            self._behind = True

    def reread(self, *, all: bool = False) -> None:
        """Read from the database next; with `all` also refused deliveries that are not due yet."""
        self._new.clear()
        self._behind = self._refused = True
        self._all = self._all or all

    def refused(self) -> None:
        """Note that something was refused, and that it is recorded when it is due again."""
        self._refused = True

    def tried(self, due: DueDelivery) -> None:
        """Note that a delivery was tried."""
        if due.tries == 0:
            self._reached = max(self._reached, due.seq)

    async def next(self, now: datetime, sent: set[int], *, only_refused: bool) -> list[DueDelivery]:
        """Return the next deliveries, retries first; `sent` are under way and not recorded yet."""
        latest = now + self._deliveries.longest_wait
        if self._refused or (self.next_due is not None and not now < self.next_due <= latest):
            before, sent = None if self._all else now, set(sent)
            self._refused = self._all = False
            head, self.next_due = await self._deliveries.refused(self._id, before, PAGE)
            self._refused = self._refused or len(head) == PAGE
            if head := [due for due in head if due.seq not in sent]:
                return head
        if only_refused:
            self._behind = True
            return []
        if self._behind and not self._new:
            self._behind = False  # what is offered from here on comes behind what is read
            head = await self._deliveries.new(self._id, self._reached, PAGE)
            if len(head) == PAGE:
                self._behind = True
                self._new.clear()
        else:
            head, self._new = list(self._new), deque()
        return [due for due in head if due.seq > self._reached]
