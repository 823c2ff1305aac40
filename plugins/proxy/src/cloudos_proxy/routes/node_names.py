"""The node's own hostnames, on which users enter passwords: only admins may route them.

So where they lead, by which certificate and under which paths, is for admins to say, and not for a key of theirs: what
signs in behind such a name is bound by no scopes.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from cloudos_sdk import Forbidden, Role, caller
from cloudos_sdk.capabilities import Users

from cloudos_proxy.hostnames import BadHostname, covers, normalise
from cloudos_proxy.routes.model import RouteRow
from cloudos_proxy.settings import ProxySettings


class NodeNames:
    """The base domain, the address in `node_url`, and each name that leads to the OS UI or is to."""

    def __init__(
        self,
        settings: ProxySettings,
        base_domain: str | None,
        faces: Callable[[], frozenset[str]],
        users: Callable[[], Users | None] = lambda: None,
    ) -> None:
        self._users = users
        self._fixed = frozenset(name for name in (base_domain, _host_of(settings.node_url)) if name is not None)
        self._faces = faces

    def owns(self, hostname: str) -> bool:
        """Return whether a name is one of the node's, is below one, or is a wildcard that covers one."""
        names = self._fixed | self._faces()
        return hostname in names or any(covers(hostname, name) or covers(name, hostname) for name in names)

    def concerns(self, row: RouteRow) -> bool:
        """Return whether a route concerns the node, by its name or its upstream."""
        return row.is_face or self.owns(row.hostname)

    def refusal(self, row: RouteRow) -> str | None:
        """Return why a route may not be served (it predates its name becoming the node's), or None."""
        if row.by_admin or row.upstream_type == "ui" or not self.owns(row.hostname):
            return None
        return f"{row.hostname} is a name of this node: an admin must save this route again, or delete it."

    def by_admin(self) -> bool:
        """Return whether the caller is currently a signed-in admin or the node itself; keys are not."""
        who, users = caller().principal, self._users()
        if who is None or who.role is not Role.ADMIN or who.kind != "user" or users is None:
            return who is None or (who.role is Role.ADMIN and who.kind in ("user", "system"))
        now = users.find(who.user_id)
        return now is not None and now.role is Role.ADMIN

    def admit(self, *rows: RouteRow) -> None:
        """Raise Forbidden if a route concerns the node and the caller is no signed-in admin."""
        for row in rows:
            if not self.by_admin() and self.concerns(row):
                raise _forbidden(row.hostname)

    def admit_hostname(self, hostname: str) -> None:
        """Raise Forbidden if a name is the node's and the caller is no signed-in admin."""
        if not self.by_admin() and self.owns(hostname):
            raise _forbidden(hostname)


def _forbidden(hostname: str) -> Forbidden:
    """Return the Forbidden error, for a user who is no admin or for a key."""
    who = caller().principal
    is_person = who is None or who.kind == "user"
    way = (
        "Only an admin may change where it leads; ask one, or take another name."
        if is_person
        else "Only an admin who is signed in may change where it leads, no key: sign in as one, or take another name."
    )
    return Forbidden(
        f"{hostname} is, or becomes by this, a name of this node itself: whoever is behind it is given passwords and"
        f" sign-ins. {way}",
        code="admin_required" if is_person else "person_required",
        hostname=hostname,
    )


def _host_of(url: str | None) -> str | None:
    try:
        return normalise(urlsplit(url).hostname or "") if url is not None else None
    except (BadHostname, ValueError):
        return None  # an address, or a name of this machine alone: no route can have it
