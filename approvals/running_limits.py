"""Running limits, asked in every decision: what has left by itself today, and this case, within what may in a day.

Who splits a request, or changes the currency, comes to the same sum. Decisions about one customer are taken one after
the other, under a lock that ends with the transaction, so that two at once cannot both be the last that fits.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime, time
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organization
from approvals.models import RunningLimit
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from workflows.engine.context import RunContext
from workflows.models import Case, Decision
from workflows.registry import Demand, Demands
from workflows.states import CaseState, Tier

_SOURCE = "limits"
_BY_ITSELF = (Tier.INSTANT, Tier.FAST_TRACK)
# These never left, or will not.
_STAYED = (CaseState.REJECTED, CaseState.CANCELED)
# The first half of the advisory lock's key, so that it meets no lock of others.
_LOCKS = 7301
Left = Sequence[tuple[int, str]]  # minor units and currency of each case that left by itself today


def demands_of(context: RunContext) -> Demands:
    """What the organization's running limits ask for; nothing where it has none."""
    case = context.case
    key = ("running limits", case.organization_id)
    limits = context.batch.remember(key, lambda: list(RunningLimit.objects.filter(organization=case.organization_id)))
    if not limits or case.amount is None:
        return Demands("", ())
    amount, scopes = case.amount, RunningLimit.Scope
    demands = []
    for scope in scopes:
        own = [limit for limit in limits if limit.scope == scope]
        if own and scope == scopes.CUSTOMER and not case.party:
            words = "The limit a customer has for a day cannot be asked: no customer is named"
            demands.append(Demand(_SOURCE, "undetermined", words, Tier.FULL_REVIEW))
        elif own:
            party = case.party if scope == scopes.CUSTOMER else ""
            _lock(case.organization_id, party)
            demands.append(demand_of(own, amount, left_today(context, party)))
    return Demands("", tuple(demands))


def demand_of(limits: Sequence[RunningLimit], amount: Money, left: Left) -> Demand:
    """What limits of one scope say about one more case of this amount."""
    scope = RunningLimit.Scope(limits[0].scope).label
    own = next((limit for limit in limits if limit.currency == amount.currency), None)
    if own is None:
        words = f"There is no limit in {amount.currency} for what leaves {scope} in a day, so a person decides"
        return Demand(_SOURCE, "undetermined", words, Tier.FULL_REVIEW, ("amount", "currency"))
    so_far = Money(sum(minor for minor, currency in left if currency == amount.currency), amount.currency)
    if own.amount is not None and own.amount < so_far + amount:
        words = f"{so_far} left by itself {scope} today; with {amount} it would pass {own.amount}"
        return Demand(_SOURCE, "hit", words, Tier.FULL_REVIEW, ("amount", "currency"))
    most = min((limit.count for limit in limits if limit.count is not None), default=None)
    if most is not None and len(left) + 1 > most:
        words = f"{len(left)} cases left by themselves {scope} today; {most} may in a day"
        return Demand(_SOURCE, "hit", words, Tier.FULL_REVIEW, ("amount",))
    return Demand(_SOURCE, "miss", f"{so_far} left by itself {scope} today", None)


def left_today(context: RunContext, party: str) -> Left:
    """What was let out today without a person, to a customer or (no party) in all, the decisions of this batch too."""
    case, organization_id = context.case, context.case.organization_id
    rows = Decision.objects.filter(organization_id=organization_id, at__gte=_midnight(context), tier__in=_BY_ITSELF)
    rows = rows.exclude(case=case.pk).exclude(case__state__in=_STAYED)
    if party:
        rows = rows.filter(case__party=party)
    amounts = rows.values_list("case", "case__amount_minor", "case__currency")
    found = {pk: (minor, currency) for pk, minor, currency in amounts if minor is not None}
    for decision in context.batch.pending(Decision):
        other: Case = decision.case
        same = other.organization_id == organization_id and other.pk != case.pk and party in ("", other.party)
        if same and decision.tier in _BY_ITSELF and other.amount_minor is not None:
            found[other.pk] = (other.amount_minor, other.currency)
    return list(found.values())


def _midnight(context: RunContext) -> datetime:
    """When today began where the organization is."""
    organization_id = context.case.organization_id
    zone = context.batch.remember(
        ("zone", organization_id), lambda: ZoneInfo(Organization.objects.get(pk=organization_id).time_zone)
    )
    return datetime.combine(clock.now().astimezone(zone).date(), time(0), zone)


def _lock(organization_id: int, party: str) -> None:
    """Let decisions about the same customer wait for each other until the transaction ends."""
    name = zlib.crc32(f"{organization_id}:{party}".encode()) - 2**31
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCKS, name])
