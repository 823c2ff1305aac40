"""The errors of the API. Raise one anywhere in a plugin; the host answers in the contract's shape.

CloudOSError
├── InvalidRequest 400      ├── UpgradeRequired 402     ├── TooManyRequests 429
├── Unauthenticated 401     ├── NotFound 404            ├── NotImplementedHere 501
├── Forbidden 403           ├── Conflict 409            └── Unavailable 503
                                                            └── DatabaseUnavailable
NotReady: raised by a lifespan; start again later
"""

from __future__ import annotations

from typing import Any


class CloudOSError(Exception):
    """An answer of status `status`: a machine code, a sentence for a person, and extra members."""

    status = 500

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extra = extra

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the answer."""
        return {}

    def body(self) -> dict[str, Any]:
        """Return the JSON body: `error`, `message` and the extra members."""
        return {"error": self.code, "message": self.message, **self.extra}


class InvalidRequest(CloudOSError):
    """400: the request does not fit; `fields` is a list of `{"path", "message"}`."""

    status = 400

    def __init__(self, message: str, *, code: str = "invalid_request", **extra: Any) -> None:
        super().__init__(code, message, **extra)

    @classmethod
    def field(cls, path: str, message: str) -> InvalidRequest:
        """Return the error of one field."""
        return cls(f"{path}: {message}", fields=[{"path": path, "message": message}])


class Unauthenticated(CloudOSError):
    """401: no credentials, or none that hold."""

    status = 401

    def __init__(self, message: str = "Sign in first.", *, code: str = "unauthenticated", **extra: Any) -> None:
        super().__init__(code, message, **extra)

    @property
    def headers(self) -> dict[str, str]:
        """Name the scheme (RFC 6750)."""
        return {"WWW-Authenticate": 'Bearer realm="cloudos"'}


class Forbidden(CloudOSError):
    """403: known, but not allowed."""

    status = 403

    def __init__(self, message: str, *, code: str = "forbidden", **extra: Any) -> None:
        super().__init__(code, message, **extra)


class UpgradeRequired(CloudOSError):
    """402, in the canonical shape of the reference."""

    status = 402

    def __init__(self, feature: str, message: str, *, current_plan: str, required_plan: str) -> None:
        super().__init__(
            "upgrade_required",
            message,
            feature=feature,
            current_plan=current_plan,
            required_plan=required_plan,
            upgrade_url="/api/billing/upgrade",
        )


class NotFound(CloudOSError):
    """404: `NotFound("peer", "peer_x")`."""

    status = 404

    def __init__(self, what: str, id: str, *, code: str | None = None, message: str | None = None) -> None:
        code = code or f"{what.replace(' ', '_')}_not_found"
        super().__init__(code, message or f"There is no {what} {id!r}.")


class Conflict(CloudOSError):
    """409: the state of things forbids it."""

    status = 409


class TooManyRequests(CloudOSError):
    """429, with `Retry-After` in seconds."""

    status = 429

    def __init__(self, message: str, *, retry_after: int, code: str = "too_many_requests", **extra: Any) -> None:
        super().__init__(code, message, **extra)
        self.retry_after = max(1, retry_after)

    @property
    def headers(self) -> dict[str, str]:
        """Give the wait (RFC 9110, 10.2.3)."""
        return {"Retry-After": str(self.retry_after)}


class NotImplementedHere(CloudOSError):
    """501: an installed component does not support the request; the message names what is missing."""

    status = 501


class Unavailable(CloudOSError):
    """503: a component or plugin is missing or not running; the message names it and what to do."""

    status = 503

    def __init__(
        self, message: str, *, code: str = "unavailable", retry_after: int | None = None, **extra: Any
    ) -> None:
        super().__init__(code, message, **extra)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Return `Retry-After`, if the wait is known."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class DatabaseUnavailable(Unavailable):
    """503: the database is full, unreachable or broken; the write did not happen."""


class NotReady(Exception):
    """Raised by a lifespan whose component is not there yet: the host tries again, with back-off."""
