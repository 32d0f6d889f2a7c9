"""Sums of a day beside their limits: when the day began, who waits for whom, and whether one more still fits."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from fractions import Fraction
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organization
from approvals.models import RunningLimit
from opsdesk.lib import clock
from opsdesk.lib.money import Money

# The first half of the advisory lock's key, so that it meets no lock of others.
LOCKS = 7301
Left = Sequence[tuple[int, str]]  # minor units and currency of each case that went out today


@dataclass(frozen=True, slots=True)
class Weighed:
    """One more case beside what went out today, against the limits of one scope."""

    own: RunningLimit | None  # the limit in the currency that is asked about
    so_far: str  # the sums of the currencies that have a limit, in words
    cases: int
    most: int | None  # cases a day
    above_amount: bool

    @property
    def above_count(self) -> bool:
        return self.most is not None and self.cases + 1 > self.most


def weigh(limits: Sequence[RunningLimit], amount: Money, left: Left) -> Weighed:
    """Whether one more case of this amount fits into limits of one scope.

    Limits in several currencies are shares of one: who has used up half of what may go out in pounds has half of what
    may in euros. So nobody gets past them by changing the currency, and no rate of exchange is asked.
    """
    own = next((limit for limit in limits if limit.currency == amount.currency), None)
    sums = {limit.currency: 0 for limit in limits if limit.amount_minor is not None}
    for minor, currency in left:
        if currency in sums:
            sums[currency] += minor
    words = [str(Money(minor, currency)) for currency, minor in sums.items() if minor and currency != amount.currency]
    words = [str(Money(sums.get(amount.currency, 0), amount.currency)), *words]
    above = False
    if own is not None and own.amount_minor is not None:
        asked = {**sums, amount.currency: sums[amount.currency] + amount.minor}
        used = [_share(asked[limit.currency], limit) for limit in limits if limit.currency in asked]
        above = sum(used, Fraction(0)) > 1
    most = min((limit.count for limit in limits if limit.count is not None), default=None)
    return Weighed(own, " and ".join(words), len(left), most, above)


def _share(minor: int, limit: RunningLimit) -> Fraction:
    """How much of a limit an amount is. Of a limit of nothing, anything is too much."""
    if not limit.amount_minor:
        return Fraction(2 if minor > 0 else 0)
    return Fraction(minor, limit.amount_minor)


def midnight(organization_id: int) -> datetime:
    """When today began where the organization is."""
    zone = ZoneInfo(Organization.objects.values_list("time_zone", flat=True).get(pk=organization_id))
    return datetime.combine(clock.now().astimezone(zone).date(), time(0), zone)


def wait_for_turn(organization_id: int, whose: str) -> None:
    """Let decisions that add to the same sum wait for each other until the transaction ends."""
    name = zlib.crc32(f"{organization_id}:{whose}".encode()) - 2**31
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, name])
