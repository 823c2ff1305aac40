"""The first rules of a new node."""

from __future__ import annotations

from cloudos_alerts.schemas import NewRule


def default_rules() -> tuple[NewRule, ...]:
    """Return the default rules as request bodies."""
    return (
        NewRule(
            name="Disk almost full",
            metric="system.disk.usage_percent",
            condition="greater_than",
            threshold=90,
            recovery_threshold=88,
            duration="1m",
            severity="warning",
        ),
        NewRule(
            name="Memory almost full",
            metric="system.memory.usage_percent",
            condition="greater_than",
            threshold=95,
            duration="5m",
            severity="critical",
        ),
        NewRule(
            name="App crashed", metric="event.app.crashed", condition="greater_than", threshold=0, severity="warning"
        ),
        NewRule(
            name="Backup failed twice",
            metric="backup.schedule.failures",
            condition="greater_than",
            threshold=1,
            severity="critical",
        ),
        NewRule(
            name="Backup overdue",
            metric="backup.app.overdue",
            condition="greater_than",
            threshold=2,
            severity="critical",
            repeat_interval="1d",
        ),
        NewRule(
            name="Certificate due",
            metric="proxy.certificate.days_left",
            condition="less_than",
            threshold=14,
            severity="warning",
            repeat_interval="1d",
        ),
        NewRule(
            name="Disk failing",
            metric="system.disk.failing",
            condition="greater_than",
            threshold=0,
            severity="critical",
        ),
    )
