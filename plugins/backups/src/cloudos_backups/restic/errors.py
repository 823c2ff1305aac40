"""What goes wrong with restic and its repositories, by exit code and by its own words."""

from __future__ import annotations

import re

from cloudos_sdk import CloudOSError, Conflict, InvalidRequest, Unavailable


class ResticMissing(Unavailable):
    """503: there is no restic, or one that is too old."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Install it (Debian: apt-get install restic).", code="restic_missing")


class ResticFailed(CloudOSError):
    """502: restic failed in a way that has no name of its own here; the message is its last word."""

    status = 502

    def __init__(self, message: str, *, code: str = "restic_failed") -> None:
        super().__init__(code, message)


class TargetUnreachable(ResticFailed):
    """502: the target does not answer, or not in time."""

    def __init__(self, said: str) -> None:
        super().__init__(f"The target cannot be reached: {said}", code="target_unreachable")


class TargetRefused(ResticFailed):
    """502: the target answers and does not let us in, or not write."""

    def __init__(self, said: str) -> None:
        super().__init__(f"The target refuses us: {said}", code="target_refused")


class TargetFull(ResticFailed):
    """507: there is no room at the target."""

    status = 507

    def __init__(self, said: str) -> None:
        super().__init__(f"There is no room at the target: {said}", code="target_full")


class RepositoryDamaged(ResticFailed):
    """502: what the repository holds is not what was written."""

    def __init__(self, said: str) -> None:
        super().__init__(f"The repository is damaged: {said}", code="repository_damaged")


class ResticKilled(ResticFailed):
    """502: restic was ended from outside, or gave no sign of life."""

    def __init__(self, why: str) -> None:
        super().__init__(f"restic {why}", code="restic_killed")


class RepositoryMissing(Conflict):
    """409: there is no repository at the target."""

    def __init__(self) -> None:
        super().__init__("repository_missing", "There is no repository of backups at this target.")


class RepositoryExists(Conflict):
    """409: there is a repository where a new one was to be made."""

    def __init__(self) -> None:
        super().__init__(
            "repository_exists",
            "There are backups at this target already. Take another path, or take them over with their recovery key"
            " (POST /api/backups/adopt).",
        )


class RepositoryLocked(Conflict):
    """409: somebody else works on the repository."""

    def __init__(self, said: str) -> None:
        super().__init__("repository_locked", f"The repository is locked by somebody else: {said}")


class WrongKey(InvalidRequest):
    """400: the key does not open the repository."""

    def __init__(self) -> None:
        super().__init__("The recovery key does not open this repository.", code="recovery_key_wrong")


_BY_CODE = {10: RepositoryMissing, 12: WrongKey}
_LOCKED = 11
_FULL = r"no space left|disk quota exceeded|not enough space|QuotaExceeded|StorageFull|507 Insufficient Storage"
_WORDS: tuple[tuple[str, type[ResticFailed]], ...] = (
    (_FULL, TargetFull),
    (
        r"Pack ID does not match|does not match id|ciphertext verification failed|invalid data returned|"
        r"hash mismatch|wrong hash|pack .* not found|blob .* not found|not found in index|"
        r"unexpected pack size|tree .* (?:not found|could not be loaded)|repository contains errors|"
        r"error for tree|number of packs in index|is truncated",
        RepositoryDamaged,
    ),
    (
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|timed? ?out|"
        r"connection reset|broken pipe|unexpected EOF|unexpected HTTP response \(5|\b50[0234]\b|TLS handshake|"
        r"x509|Could not resolve|unable to start the sftp session|subprocess ssh|server misbehaving",
        TargetUnreachable,
    ),
    (
        r"access ?denied|permission denied|forbidden|unauthorized|\b40[13]\b|InvalidAccessKeyId|"
        r"SignatureDoesNotMatch|read-only file system|operation not permitted",
        TargetRefused,
    ),
)


def error_of(code: int, said: str) -> CloudOSError:
    """Return the error for an exit code (those of restic 0.17 and later have names) and what restic said."""
    if code < 0:
        return ResticKilled(f"was ended by signal {-code}.")
    if code in _BY_CODE:
        return _BY_CODE[code]()
    text = last_words(said)
    if code == _LOCKED or "already locked" in said:
        return RepositoryLocked(text)
    if re.search(r"wrong password or no key found", said):
        return WrongKey()
    if re.search(r"config file already exists|already initialized", said):
        return RepositoryExists()
    for pattern, kind in _WORDS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(text)
    if re.search(r"unable to open config file|Is there a repository at|does not exist", said):
        return RepositoryMissing()
    return ResticFailed(f"restic failed (exit code {code}): {text}")


def last_words(said: str) -> str:
    """Return the sentence that says most, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("Fatal:")] or lines[-2:]
    return " ".join(told).removeprefix("Fatal: ")[:500] or "it said nothing"


def is_full(said: str) -> bool:
    """Tell whether restic says that there is no room."""
    return re.search(_FULL, said, re.IGNORECASE) is not None
