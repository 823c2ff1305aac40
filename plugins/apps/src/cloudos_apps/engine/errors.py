"""Errors of the Docker Engine."""

from __future__ import annotations

from cloudos_sdk import CloudOSError, Unavailable


class EngineRefused(CloudOSError):
    """502: the engine was asked and said no; the message is its own."""

    status = 502

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__("engine_refused", message)
        self.engine_status = status


class PullFailed(CloudOSError):
    """502: an image cannot be pulled; 507 if the disk is full."""

    status = 502

    def __init__(self, image: str, reason: str) -> None:
        full = "no space left" in reason
        super().__init__(
            "insufficient_storage" if full else "pull_failed",
            f"The image {image} cannot be pulled: {'the disk is full' if full else reason}",
            image=image,
        )
        if full:
            self.status = 507


class NoSpace(CloudOSError):
    """507: the disk is too full to install anything."""

    status = 507


class DockerUnreachable(Unavailable):
    """503: no engine answers."""

    def __init__(self, url: str, cause: object) -> None:
        super().__init__(
            f"The Docker Engine does not answer at {url} ({cause}). Install or start it"
            " (Debian: apt-get install docker.io), or name another with the setting plugins.apps.docker_host.",
            code="docker_unavailable",
            retry_after=5,
        )


def cause(error: BaseException) -> str:
    """Return a short reason why the engine is unreachable."""
    text = str(error)
    for sign, words in (
        ("No such file", "no such socket"),
        ("Permission denied", "no permission for its socket: add the user to the group docker"),
        ("Connection refused", "connection refused"),
    ):
        if sign in text:
            return words
    return type(error).__name__
