"""The bodies and answers of the endpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Range = Literal["1h", "6h", "24h", "7d", "30d", "1y"]
NetworkRange = Literal["5m", "15m", "1h", "6h", "24h"]


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


Names = Annotated[list[str], BeforeValidator(_listed)]


class HistoryQuery(Query):
    """Which series over which time."""

    range: Range = Field(default="1h", description="How far back")
    metric: Names = Field(
        default=[],
        max_length=100,
        description="A metric, or a group such as `system.network.*`; may be given more than once",
    )
    label: Names = Field(
        default=[],
        max_length=20,
        description="Only series with this label, as `app:app_x`; may be repeated",
    )
    step: str | None = Field(
        default=None, max_length=12, description="Seconds of a bucket, or 5m, 1h, 1d; the finest by default"
    )


class StreamQuery(Query):
    """Which metrics to stream."""

    metric: Names = Field(default=[], max_length=100, description="As in the history; all metrics by default")


class NetworkQuery(Query):
    """Which interface over which time."""

    interface: str = Field(min_length=1, max_length=64, pattern=r"^[^\s/]+$", description="Interface name, e.g. eth0")
    range: NetworkRange = Field(default="1h", description="How far back")


class Answer(BaseModel):
    """Base of answers; the validator is built on first use."""

    model_config = ConfigDict(defer_build=True)


class Cpu(Answer):
    """The processor."""

    usage_percent: float
    cores: int
    model: str


class MemoryUse(Answer):
    """Memory; `used` excludes reclaimable caches."""

    total_mb: int
    used_mb: int
    usage_percent: float


class DiskUse(Answer):
    """The filesystem at /."""

    total_gb: int
    used_gb: int
    usage_percent: float


class Current(Answer):
    """The current usage."""

    cpu: Cpu
    memory: MemoryUse
    disk: DiskUse
    uptime_seconds: int


class Info(Answer):
    """The properties of this node."""

    hostname: str
    os: str
    kernel: str
    architecture: str
    quazzar_version: str
    uptime_seconds: int
    node_id: str


class Disk(Answer):
    """A real filesystem."""

    device: str
    mount_point: str
    fs_type: str
    total_bytes: int
    used_bytes: int
    free_bytes: int
    usage_percent: float


class DiskHealth(Answer):
    """A physical disk; `reason` says why it is failing or unknown."""

    device: str
    kind: Literal["hdd", "ssd", "nvme", "sd_card", "virtual"]
    model: str | None
    serial: str | None
    size_bytes: int
    status: Literal["passed", "failing", "unknown"]
    reason: str | None
    temperature_c: int | None
    power_on_hours: int | None
    wear_percent: int | None
    checked_at: UtcTime


class Address(Answer):
    """An address of an interface."""

    family: Literal["ipv4", "ipv6"]
    address: str
    netmask: str | None


class Interface(Answer):
    """A network interface; the counters run since it was made."""

    name: str
    is_up: bool
    is_loopback: bool
    mac_address: str | None
    mtu: int
    speed_mbps: int | None
    addresses: list[Address]
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


class AppUsage(Answer):
    """The current usage of one app; null if not measured, e.g. if it does not run."""

    app_id: str
    name: str
    status: str
    cpu_percent: float | None
    memory_usage_mb: float | None
    network_rx_bytes_per_sec: float | None
    network_tx_bytes_per_sec: float | None
    restarts: int | None


class AppsTotal(Answer):
    """All apps together."""

    apps: int
    running: int
    cpu_percent: float
    memory_usage_mb: float
    network_rx_bytes_per_sec: float
    network_tx_bytes_per_sec: float
    restarts: int


class AppsMetrics(Answer):
    """The apps together and one by one; `measured_at` is null before the first reading."""

    measured_at: UtcTime | None
    total: AppsTotal
    apps: list[AppUsage]


class Series(Answer):
    """One series: a value for each timestamp, null if not measured."""

    metric: str
    unit: str
    labels: dict[str, str]
    mean: list[float | None]
    min: list[float | None]
    max: list[float | None]


class History(Answer):
    """Series over the same buckets; each timestamp is the begin of one, aligned in UTC."""

    range: Range
    step_seconds: int
    timestamps: list[UtcTime]
    series: list[Series]


class Point(Answer):
    """A bucket of an interface's traffic."""

    ts: UtcTime
    rx_bytes_per_sec: int
    tx_bytes_per_sec: int


class NetworkHistory(Answer):
    """The traffic of an interface, oldest bucket first."""

    interface: str
    range: NetworkRange
    bucket_seconds: int
    points: list[Point]
