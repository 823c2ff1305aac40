"""The metric of certificates: what is renewed within days is not due for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from cloudos_proxy.domains.certificate_expiry import CertificateExpiry

NOW = datetime(2026, 1, 10, tzinfo=UTC)


def certificate(name, lasts, left):
    end = NOW + left
    return SimpleNamespace(hostname=name, not_before=end - lasts, not_after=end)


async def test_a_certificate_of_hours_is_told_only_once_it_has_ended():
    hours, days = timedelta(hours=12), timedelta(days=90)
    rows = [
        certificate("inside.test", hours, timedelta(hours=9)),
        certificate("ended.test", hours, timedelta(hours=-24)),
        certificate("long.test", days, timedelta(days=5)),
    ]

    async def all():
        return rows

    samples = await CertificateExpiry(SimpleNamespace(all=all), SimpleNamespace(now=lambda: NOW)).sample()
    assert {dict(sample.labels)["domain"]: sample.value for sample in samples} == {"ended.test": -1, "long.test": 5}
