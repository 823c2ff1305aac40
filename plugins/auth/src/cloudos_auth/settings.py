"""Settings of the sign-in."""

from __future__ import annotations

from cloudos_sdk import PluginSettings
from pydantic import Field


class AuthSettings(PluginSettings):
    """`[plugins.auth]`."""

    bcrypt_cost: int = Field(default=12, ge=4, le=16, description="Cost of bcrypt; each step doubles its time")
    account_failures: int = Field(default=5, ge=1, description="Failures before an account is locked for a while")
    address_failures: int = Field(default=20, ge=1, description="Failures before an address is locked for a while")
    sessions_per_user: int = Field(
        default=100, ge=1, le=1000, description="Sessions of a user; a new one ends the least recently used"
    )
