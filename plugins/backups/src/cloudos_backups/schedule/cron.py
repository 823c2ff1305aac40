"""When a cron expression is due in a time zone, right over both changes of the clocks: by cronsim, as Debian's cron."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloudos_sdk import InvalidRequest
from cronsim import CronSim, CronSimError


def check(cron: str, time_zone: str, where: str) -> None:
    """Raise InvalidRequest for what is no cron expression or no time zone."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest.field(
            f"{where}.time_zone", f"{time_zone[:100]!r} is no time zone; write one such as Europe/Berlin"
        ) from None
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration):
        raise InvalidRequest.field(
            f"{where}.cron",
            f"{cron[:100]!r} is no cron expression that is ever due; write five fields such as 0 2 * * *",
        ) from None


def next_due(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """Return the next time after another one, in UTC; None where there is none."""
    try:
        found: datetime = next(CronSim(cron, after.astimezone(ZoneInfo(time_zone))))
    except StopIteration:
        return None
    return found.astimezone(UTC)


def interval(cron: str, time_zone: str, since: datetime) -> timedelta:
    """Return how long a schedule takes from one time to the next, at least, after `since`: a weekend may lie there."""
    first = next_due(cron, time_zone, since)
    second = next_due(cron, time_zone, first) if first is not None else None
    if first is None or second is None:
        return timedelta(days=366)
    return max(first - since, second - first, timedelta(minutes=1))
