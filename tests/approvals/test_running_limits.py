"""Running limits: who splits a request, or changes its currency, comes to the same sum, also when two go at once."""

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.models import RunningLimit
from approvals.running_limits import _LOCKS, demand_of
from auditlog.models import Entry
from opsdesk.lib.money import Money
from tests.approvals.desk import signed_in
from tests.plugins.line import Line
from workflows.models import Case, Decision
from workflows.states import Tier
from workflows.tasks import tick

FULL = Tier.FULL_REVIEW


def limit(
    currency: str = "GBP", amount: str = "100.00", count: int | None = None, scope: str = "customer"
) -> RunningLimit:
    minor = Money.parse(amount, currency).minor if amount else None
    return RunningLimit(scope="customer", currency=currency, amount_minor=minor, count=count)


@pytest.mark.parametrize(
    ("limits", "asked", "left", "tier", "words"),
    [
        ([limit()], "50.00", [(4900, "GBP")], None, "£49.00 left by itself to one customer today"),
        ([limit()], "51.00", [(4900, "GBP")], None, "£49.00 left by itself to one customer today"),
        (
            [limit()],
            "51.01",
            [(4900, "GBP")],
            FULL,
            "£49.00 left by itself to one customer today; with £51.01 it would pass £100.00",
        ),
        ([limit(amount="499.00")], "499.00", [], None, "£0.00 left by itself to one customer today"),
        (
            [limit("EUR")],
            "1.00",
            [],
            FULL,
            "There is no limit in GBP for what leaves to one customer in a day, so a person decides",
        ),
        # The number counts every currency.
        (
            [limit(amount="", count=2), limit("EUR", "9.00")],
            "1.00",
            [(100, "EUR"), (100, "GBP")],
            FULL,
            "2 cases left by themselves to one customer today; 2 may in a day",
        ),
    ],
)
def test_a_limit_says_what_left_and_what_it_allows(limits, asked, left, tier, words):
    demand = demand_of(limits, Money.parse(asked, "GBP"), left)

    assert (demand.tier, demand.words) == (tier, words)


def put(line: Line, **fields: object) -> None:
    fields = {"scope": "customer", "currency": "GBP", "amount_minor": 10_000, **fields}
    RunningLimit.objects.create(organization=line.organization, **fields)


def tiers() -> list[str]:
    return list(Decision.objects.order_by("pk").values_list("tier", flat=True))


def test_ten_small_requests_of_one_customer_are_one_large_one(line: Line):
    """All of one batch: what it has decided and not yet written counts as well."""
    put(line)
    for _ in range(10):
        line.ask("19.80")

    tick()

    assert sorted(tiers()) == [FULL] * 5 + [Tier.INSTANT] * 5
    assert "£99.00 left by itself to one customer today" in Decision.objects.order_by("pk").last().sentence


def test_two_below_the_limit_one_after_the_other_and_those_of_others(line: Line):
    put(line, amount_minor=5_000)
    line.ask("49.90")
    tick()
    line.ask("49.90")
    tick()
    line.ask("49.90", customer="99999")
    tick()

    assert tiers()[:2] == [Tier.INSTANT, FULL]
    assert "£0.00 left" not in Decision.objects.order_by("pk")[1].sentence
    assert Case.objects.get(party="99999").decisions.get().trace[-1]["words"].startswith("£0.00 left by itself")


def test_a_request_that_names_no_customer_waits(line: Line):
    put(line)
    line.ask("1.00", customer=None)

    tick()

    assert "no customer is named" in str(Decision.objects.get().trace)
    assert tiers() == [FULL]


def test_what_leaves_in_all_is_limited_too(line: Line):
    put(line, scope="organization", amount_minor=None, count=1)
    line.ask("10.00")
    line.ask("10.00", customer="99999")

    tick()

    assert FULL in tiers()


def test_decisions_about_one_customer_wait_for_each_other(line: Line):
    put(line)
    line.ask("10.00")

    with CaptureQueriesContext(connection) as captured:
        tick()

    asked = [query["sql"] for query in captured]
    [lock] = [place for place, sql in enumerate(asked) if "pg_advisory_xact_lock" in sql]
    sums = [place for place, sql in enumerate(asked) if "amount_minor" in sql and '"workflows_decision"."at" >=' in sql]
    assert sums == [lock + 2]  # after it was had, and after midnight was asked for
    assert str(_LOCKS) in asked[lock]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"amount_minor": None, "count": None}, "approvals_runninglimit_limits_something"),
        ({"amount_minor": -1}, "approvals_runninglimit_limits_something"),
        ({}, "approvals_runninglimit_once"),
    ],
)
def test_the_database_keeps_limits_sound(line: Line, fields, constraint):
    put(line)

    with pytest.raises(IntegrityError, match=constraint):
        put(line, **{"scope": "customer" if not fields else "organization", **fields})


def test_limits_are_set_in_the_admin_and_recorded(line: Line):
    client = signed_in(line.cast.tomasz)
    url = reverse("admin:approvals_runninglimit_add")
    typed = {"scope": "customer", "currency": "GBP", "change_reason": "Careful"}

    nothing = client.post(url, typed)
    odd = client.post(url, {**typed, "amount": "ten"})
    done = client.post(url, {**typed, "amount": "250.00", "count": "3"})

    assert "Limit the amount, the number of cases, or both." in nothing.content.decode()
    assert odd.status_code == 200
    assert done.status_code == 302
    assert str(RunningLimit.objects.get()) == "£250.00 and 3 cases a day to one customer"
    assert Entry.objects.get(verb="approvals.running_limit.added").reason == "Careful"
