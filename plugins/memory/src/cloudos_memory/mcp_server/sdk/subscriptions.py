"""Notifications for clients of `subscriptions/listen`, within the scope of their keys."""

from __future__ import annotations

from collections.abc import Callable

from mcp.shared.subscriptions import ServerEvent

from cloudos_memory.mcp_server.sessions import McpSession, in_hand

Listener = Callable[[ServerEvent], None]


class SessionBus:
    """The SDK's subscription bus, which remembers whose each listener is."""

    def __init__(self) -> None:
        self._listeners: dict[object, tuple[McpSession, Listener]] = {}

    async def publish(self, event: ServerEvent) -> None:
        """Deliver an event to every listener."""
        for session in self.sessions():
            self.tell(session, event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Register a listener of the session in hand; return how to end it."""
        token = object()
        self._listeners[token] = (in_hand(), listener)

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe

    def sessions(self) -> list[McpSession]:
        """Return the listening sessions."""
        return list(dict.fromkeys(session for session, _ in self._listeners.values()))

    def tell(self, session: McpSession, event: ServerEvent) -> None:
        """Deliver an event to the listeners of one session."""
        for whose, listener in list(self._listeners.values()):
            if whose is session:
                listener(event)
