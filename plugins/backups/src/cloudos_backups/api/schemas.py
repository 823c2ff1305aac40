"""What the endpoints take and give."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body, Page, Query
from pydantic import BaseModel, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Kind = Literal["local", "s3", "sftp", "rest"]
Status = Literal["queued", "in_progress", "completed", "partial", "failed", "cancelled"]


class NewTarget(Body):
    """A target: a folder, a bucket, a folder of another machine, or a REST server; `config` is that of its type."""

    name: Name
    type: Kind
    config: dict[str, Any]


class TargetChange(Body):
    """What to change of a target; what is left out stays. Where its backups are cannot change."""

    name: Name | None = None
    config: dict[str, Any] | None = None


class RecoveryKey(Body):
    """A recovery key as somebody typed it; case, spaces and hyphens do not matter."""

    recovery_key: str = Field(min_length=1, max_length=200)


class Adoption(Body):
    """A target with backups that another node made, and its recovery key."""

    name: Name
    type: Kind
    config: dict[str, Any]
    recovery_key: str = Field(min_length=1, max_length=200)


class Adopted(BaseModel):
    """A target that was taken over; the operation reads which backups it has."""

    target_id: str
    operation_id: str
    status: Literal["in_progress"]


class RecoveryKeyState(BaseModel):
    """Whether an admin has typed the key right once, and when that is asked."""

    confirmed: bool
    confirmed_at: UtcTime | None
    due_at: UtcTime
    due: bool


class TargetOut(BaseModel):
    """A target; of its secrets only that there are any. `status` is how it was found last."""

    id: str
    name: str
    type: Kind
    config: dict[str, Any]
    status: Literal["ok", "failing", "damaged"]
    error: str | None
    checked_at: UtcTime | None
    size_bytes: int | None
    free_bytes: int | None
    recovery_key: RecoveryKeyState
    created_at: UtcTime
    updated_at: UtcTime


class TargetMade(BaseModel):
    """A new target with its recovery key, which is shown here and never again."""

    id: str
    name: str
    type: Kind
    config: dict[str, Any]
    status: Literal["ok", "failing", "damaged"]
    error: str | None
    checked_at: UtcTime | None
    size_bytes: int | None
    free_bytes: int | None
    recovery_key: str
    created_at: UtcTime
    updated_at: UtcTime


class Purge(Query):
    """Whether the backups go too."""

    purge: bool = False


class Begun(BaseModel):
    """Work that goes on; `GET /api/operations/{operation_id}` tells how far it is."""

    operation_id: str
    status: Literal["in_progress"]


class NewBackup(Body):
    """A backup: where to, of which apps (all of them where none are named), and whether of the node too."""

    target: Id | None = None
    apps: list[Id] | None = Field(default=None, max_length=1000)
    include_config: bool = True


class BackupPage(Page):
    """Which backups: of one app, or at one target."""

    app: Id | None = None
    target: Id | None = None


class PartOut(BaseModel):
    """One part of a backup: an app, or the node's configuration. `missing` says what is not in it."""

    kind: Literal["app", "config"]
    app_id: str | None
    name: str
    status: Literal["waiting", "running", "completed", "partial", "failed"]
    size_bytes: int
    added_bytes: int
    files: int
    missing: list[str]
    error: str | None


class BackupOut(BaseModel):
    """A backup. One that misses something is `partial`; `error` and the parts say what."""

    id: str
    status: Status
    target: str
    target_id: str
    apps: list[str]
    include_config: bool
    schedule_id: str | None
    operation_id: str | None
    parts: list[PartOut]
    size_bytes: int
    added_bytes: int
    files: int
    error: str | None
    node: str
    started_at: UtcTime
    finished_at: UtcTime | None


class AppOut(BaseModel):
    """What is known of the backups of an app."""

    app_id: str
    name: str
    installed: bool
    last_backup: UtcTime | None
    last_backup_id: str | None
    last_proved: UtcTime | None
    proof_error: str | None


class FileQuery(Query):
    """Which folder of a backup to list, as `/<app>/<volume>/…`; with `download` the file's content, or an archive."""

    path: str = Field(default="/", max_length=4096)
    download: bool = False


class FileOut(BaseModel):
    """A file or folder of a backup."""

    path: str
    name: str
    type: str
    size: int
    modified_at: str | None


class NewRestore(Body):
    """What to restore: apps (all of the backup where none are named), in place, or one beside itself `as` another.

    `paths` are single files or folders of one app, as the list of files names them. `dry_run` changes nothing.
    """

    apps: list[Id] | None = Field(default=None, min_length=1, max_length=1000)
    as_: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")] | None = Field(
        default=None, alias="as"
    )
    paths: list[Annotated[str, StringConstraints(min_length=2, max_length=4096)]] | None = Field(
        default=None, min_length=1, max_length=100
    )
    dry_run: bool = False


class FolderChanges(BaseModel):
    """What a restore would change in a folder: how many files, and the first of each kind."""

    name: str
    path: str
    added: int
    changed: int
    removed: int
    first_added: list[str]
    first_changed: list[str]
    first_removed: list[str]


class AppChanges(BaseModel):
    """What a restore would do to an app."""

    app_id: str
    name: str
    makes_app: bool
    changes_settings: bool
    folders: list[FolderChanges]
    dumps: list[str]
    needed_bytes: int
    free_bytes: int | None


class DryRun(BaseModel):
    """What a restore would change; nothing was changed."""

    backup_id: str
    dry_run: Literal[True]
    apps: list[AppChanges]


class RestoreOut(BaseModel):
    """A restore that goes on."""

    backup_id: str
    operation_id: str
    status: Literal["in_progress"]
    apps: list[str]
    as_app: str | None


class RetentionPlan(Body):
    """How many backups a schedule keeps: the last ones, and one for each of so many days, weeks, months and years."""

    last: int = Field(default=7, ge=1, le=10_000)
    daily: int = Field(default=0, ge=0, le=10_000)
    weekly: int = Field(default=0, ge=0, le=10_000)
    monthly: int = Field(default=0, ge=0, le=10_000)
    yearly: int = Field(default=0, ge=0, le=10_000)


class SchedulePlan(Body):
    """A schedule: when by cron in its time zone, where to, of which apps (null is all), and how long it is kept.

    With an `id` it is the one that is there. It starts at a random time within `window_minutes`. `prove` restores one
    app after another on trial; `check` reads a sample of the target each week.
    """

    id: Id | None = None
    name: Name
    enabled: bool = True
    cron: str = Field(min_length=1, max_length=200)
    time_zone: str = Field(default="UTC", min_length=1, max_length=100)
    targets: list[Id] = Field(min_length=1, max_length=20)
    apps: list[Id] | None = Field(default=None, max_length=1000)
    include_config: bool = True
    retention: RetentionPlan = Field(default_factory=RetentionPlan)
    window_minutes: int = Field(default=0, ge=0, le=1440)
    check: bool = True
    prove: bool = False


class Schedules(Body):
    """All schedules; those that are left out end."""

    schedules: list[SchedulePlan] = Field(max_length=50)


class ScheduleOut(BaseModel):
    """A schedule, when it is due next, and what became of it last."""

    id: str
    name: str
    enabled: bool
    cron: str
    time_zone: str
    targets: list[str]
    apps: list[str] | None
    include_config: bool
    retention: RetentionPlan
    window_minutes: int
    check: bool
    prove: bool
    next_run_at: UtcTime | None
    last_run_at: UtcTime | None
    last_success_at: UtcTime | None
    failures: int


class SchedulesOut(BaseModel):
    """All schedules."""

    schedules: list[ScheduleOut]
