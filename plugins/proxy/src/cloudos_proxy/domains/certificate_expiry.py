"""How long certificates hold still, as a metric that can be given an alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cloudos_sdk import Clock
from cloudos_sdk.capabilities import Metric, Sample

from cloudos_proxy.domains.store import DomainStore
from cloudos_proxy.models import Domain

DAYS_LEFT = Metric("proxy.certificate.days_left", "days", "Days until a domain's certificate ends", ("domain",))
_WEEKS = timedelta(days=30)


class CertificateExpiry:
    """The source (capability `MetricSource`)."""

    def __init__(self, store: DomainStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def metrics(self) -> Sequence[Metric]:
        """Return the days until expiry of each certificate."""
        return [DAYS_LEFT]

    async def sample(self) -> Sequence[Sample]:
        """Return the days that are left to each certificate; of one made for a few days only once it has ended."""
        now = self._clock.now()
        return [
            Sample(DAYS_LEFT.name, (row.not_after - now) / timedelta(days=1), (("domain", row.hostname),))
            for row in await self._store.all()
            if row.not_after is not None and (_is_long(row) or row.not_after <= now)
        ]


def _is_long(row: Domain) -> bool:
    """Return whether a certificate's lifetime is weeks; shorter ones would always seem due for renewal."""
    return row.not_before is None or row.not_after is None or row.not_after - row.not_before >= _WEEKS
