"""The permissions that plugins declare, and the roles that have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloudos_sdk import Permission, Principal, Role


class PermissionTable:
    """The permissions of all plugins, and the roles that have them."""

    def __init__(self) -> None:
        self._declared: dict[str, Permission] = {}

    def declare(self, permissions: Iterable[Permission]) -> None:
        """Add a plugin's permissions."""
        self._declared.update({permission.name: permission for permission in permissions})

    def permissions(self) -> Mapping[str, Permission]:
        """Return them by name."""
        return dict(self._declared)

    def allows(self, principal: Principal, name: str) -> bool:
        """Return whether the principal's role and its key's scopes include the permission."""
        declared = self._declared.get(name)
        if declared is None:
            return principal.role is Role.ADMIN and principal.scopes is None
        if not principal.role.includes(declared.role):
            return False
        if principal.scopes is None or name in principal.scopes:
            return True
        area, _, verb = name.partition(":")
        return verb == "read" and f"{area}:write" in principal.scopes

    def sees(self, principal: Principal, audience: str) -> bool:
        """Return whether the principal belongs to an audience: a permission, or one user (`user:<id>`)."""
        kind, _, user_id = audience.partition(":")
        if kind != "user":
            return self.allows(principal, audience)
        mine = user_id == principal.user_id or (principal.role is Role.ADMIN and principal.scopes is None)
        return mine and self.allows(principal, "operations:read")
