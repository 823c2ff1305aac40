"""What happens to backups."""

from __future__ import annotations

from dataclasses import dataclass

from cloudos_sdk import Event


@dataclass(frozen=True, kw_only=True)
class BackupCreated(Event, type="backup.created", audience="backups:read"):
    """A backup was begun."""

    target: str
    apps: list[str]
    schedule: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupCompleted(Event, type="backup.completed", audience="backups:read"):
    """A backup is whole."""

    target: str
    apps: list[str]
    size_bytes: int
    added_bytes: int
    schedule: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupFailed(Event, type="backup.failed", audience="backups:read"):
    """A backup failed, or misses a part: `status` is failed or partial, `missing` says what."""

    target: str
    status: str
    reason: str
    missing: list[str]
    schedule: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupDeleted(Event, type="backup.deleted", audience="backups:read"):
    """A backup was removed."""

    target: str


@dataclass(frozen=True, kw_only=True)
class BackupRestored(Event, type="backup.restored", audience="backups:read"):
    """An app was restored from a backup and is well."""

    target: str
    app: str
    name: str


@dataclass(frozen=True, kw_only=True)
class BackupRestoreFailed(Event, type="backup.restore_failed", audience="backups:read"):
    """The restore of an app failed; the app is as it was before."""

    target: str
    app: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupProved(Event, type="backup.proved", audience="backups:read"):
    """The backup of an app was proved: restored beside it, started, and found well."""

    target: str
    app: str
    name: str


@dataclass(frozen=True, kw_only=True)
class BackupProofFailed(Event, type="backup.proof_failed", audience="backups:read"):
    """The backup of an app could not be proved."""

    target: str
    app: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupFileRead(Event, type="backup.file_read", audience="backups:write"):
    """A file of a backup was downloaded."""

    target: str
    path: str


@dataclass(frozen=True, kw_only=True)
class BackupTargetAdded(Event, type="backup.target_added"):
    """A target for backups was added."""

    target: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class BackupTargetChanged(Event, type="backup.target_changed"):
    """A target for backups was changed; `changed` names what."""

    target: str
    changed: list[str]


@dataclass(frozen=True, kw_only=True)
class BackupTargetRemoved(Event, type="backup.target_removed"):
    """A target for backups was removed; `purged` tells whether its backups went too."""

    target: str
    purged: bool


@dataclass(frozen=True, kw_only=True)
class BackupTargetDamaged(Event, type="backup.target_damaged", audience="backups:read"):
    """A check found damage in the repository of a target."""

    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupRecoveryKeyConfirmed(Event, type="backup.recovery_key_confirmed"):
    """An admin typed a recovery key right."""

    target: str


@dataclass(frozen=True, kw_only=True)
class BackupScheduleChanged(Event, type="backup.schedule_changed", audience="backups:read"):
    """The schedules of the backups were changed."""

    schedules: list[str]


ALL = (
    BackupCreated,
    BackupCompleted,
    BackupFailed,
    BackupDeleted,
    BackupRestored,
    BackupRestoreFailed,
    BackupProved,
    BackupProofFailed,
    BackupFileRead,
    BackupTargetAdded,
    BackupTargetChanged,
    BackupTargetRemoved,
    BackupTargetDamaged,
    BackupRecoveryKeyConfirmed,
    BackupScheduleChanged,
)
