"""Running limits: who splits a request, or changes its currency, comes to the same sum, also when two go at once."""

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.daysums import LOCKS
from approvals.models import Review, RunningLimit
from approvals.policies import publish_bands
from approvals.running_limits import demand_of
from approvals.services import Rationale, decide
from approvals.states import Verdict
from approvals.timers import settle
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.approvals.desk import signed_in
from tests.plugins.line import Line
from workflows.models import Case, Decision, Rule, Workflow
from workflows.publishing import new_draft_rules, publish_rules
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
        ([limit()], "50.00", [(4900, "GBP")], None, "£49.00 went out to one customer today"),
        ([limit()], "51.00", [(4900, "GBP")], None, "£49.00 went out to one customer today"),
        (
            [limit()],
            "51.01",
            [(4900, "GBP")],
            FULL,
            "£49.00 went out to one customer today; with £51.01 it would pass £100.00",
        ),
        ([limit(amount="499.00")], "499.00", [], None, "£0.00 went out to one customer today"),
        (
            [limit("EUR")],
            "1.00",
            [],
            FULL,
            "There is no limit in GBP for what goes out to one customer in a day, so a person decides",
        ),
        # Limits in several currencies are shares of one.
        (
            [limit(), limit("EUR", "200.00")],
            "50.01",
            [(10_000, "EUR")],
            FULL,
            "£0.00 and €100.00 went out to one customer today; with £50.01 it would pass £100.00",
        ),
        (
            [limit(), limit("EUR", "200.00")],
            "50.00",
            [(10_000, "EUR")],
            None,
            "£0.00 and €100.00 went out to one customer today",
        ),
        (
            [limit(), limit("EUR", "0.00")],
            "1.00",
            [(1, "EUR")],
            FULL,
            "£0.00 and €0.01 went out to one customer today; with £1.00 it would pass £100.00",
        ),
        # The number counts every currency.
        (
            [limit(amount="", count=2), limit("EUR", "9.00")],
            "1.00",
            [(100, "EUR"), (100, "GBP")],
            FULL,
            "2 cases went out to one customer today; 2 may in a day",
        ),
    ],
)
def test_a_limit_says_what_left_and_what_it_allows(limits, asked, left, tier, words):
    demand = demand_of(limits, Money.parse(asked, "GBP"), left)

    assert (demand.tier, demand.words) == (tier, words)


def put(line: Line, **fields: object) -> None:
    fields = {"scope": "customer", "currency": "GBP", "amount_minor": 10_000, **fields}
    RunningLimit.objects.create(organization=line.organization, **fields)


def refunds() -> Workflow:
    return Workflow.objects.get(slug="refund")


def tiers() -> list[str]:
    return list(Decision.objects.order_by("pk").values_list("tier", flat=True))


def test_ten_small_requests_of_one_customer_are_one_large_one(line: Line):
    """All of one batch: what it has decided and not yet written counts as well."""
    put(line)
    for _ in range(10):
        line.ask("19.80")

    tick()

    assert sorted(tiers()) == [FULL] * 5 + [Tier.INSTANT] * 5
    assert "£99.00 went out to one customer today" in Decision.objects.order_by("pk").last().sentence


def test_two_below_the_limit_one_after_the_other_and_those_of_others(line: Line):
    put(line, amount_minor=5_000)
    line.ask("49.90")
    tick()
    line.ask("49.90")
    tick()
    line.ask("49.90", customer="99999")
    tick()

    assert tiers()[:2] == [Tier.INSTANT, FULL]
    assert "£0.00 went out" not in Decision.objects.order_by("pk")[1].sentence
    assert Case.objects.get(party="99999").decisions.get().trace[-1]["words"].startswith("£0.00 went out")


def approve(line: Line, review: Review, amount: str | None = None) -> None:
    code = line.organization.reason_codes.get(code="goods-returned")
    decide(
        review.pk, voter=line.cast.ada, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash,
        amount=Money.parse(amount, "GBP") if amount else None,
    )  # fmt: skip
    Review.objects.filter(pk=review.pk).update(settles_at=clock.now())
    settle(review.pk)


@pytest.mark.parametrize(("amounts", "instant"), [(["499.00"] * 2, 1), (["99.00"] * 10, 5)])
def test_splitting_under_the_threshold_reaches_the_limit(line: Line, amounts: list[str], instant: int):
    """Each is below the threshold for people; what passes £500 of a day is decided by people all the same."""
    publish_bands(refunds(), {"GBP": [("0", Tier.INSTANT), ("500", FULL)]}, by=None, reason="Wide open")
    put(line, amount_minor=500_00)
    for amount in amounts:
        line.ask(amount, order=line.paid(amount="800.00"))

    tick()

    assert sorted(tiers()) == [FULL] * (len(amounts) - instant) + [Tier.INSTANT] * instant


@pytest.mark.parametrize(("less", "tier"), [(None, FULL), ("10.00", Tier.INSTANT)])
def test_what_people_approved_to_a_customer_counts_as_well(line: Line, less: str | None, tier: str):
    put(line, amount_minor=150_00)
    line.ask("141.48")
    tick()
    approve(line, Review.objects.get(), less)
    line.ask("20.00")

    tick()

    assert tiers() == [FULL, tier]


def test_the_approval_waits_for_decisions_about_the_same_customer(line: Line):
    put(line)
    line.ask("141.48")
    tick()

    with CaptureQueriesContext(connection) as captured:
        approve(line, Review.objects.get())

    asked = [query["sql"] for query in captured]
    [lock] = [place for place, sql in enumerate(asked) if "pg_advisory_xact_lock" in sql]
    [granted] = [place for place, sql in enumerate(asked) if 'INSERT INTO "workflows_authorization"' in sql]
    assert lock < granted


def flag(name: str = "Small and new") -> None:
    """A rule that holds for every request and only points it out."""
    draft = new_draft_rules(refunds().rule_sets.get(state="published"), by=None, reason="One more")
    Rule.objects.create(
        rule_set=draft, position=90, name=name, effect=Rule.Effect.FLAG,
        conditions=[{"fact": "amount", "operator": "below", "value": "1000.00 GBP"}],
    )  # fmt: skip
    publish_rules(draft, by=None, reason="One more")


def test_what_leaves_where_a_rule_holds_is_limited(line: Line):
    flag()
    put(line, scope="rule", workflow=refunds(), rule="Small and new", amount_minor=50_00)
    line.ask("30.00")
    tick()
    line.ask("30.00")

    tick()

    assert tiers() == [Tier.INSTANT, FULL]
    words = "£30.00 left by itself where “Small and new” holds today; with £30.00 it would pass £50.00"
    assert words in Decision.objects.order_by("pk").last().sentence


def test_a_limit_whose_rule_is_gone_asks_for_people(line: Line):
    put(line, scope="rule", workflow=refunds(), rule="Renamed since", amount_minor=50_00)
    line.ask("1.00")

    tick()

    assert tiers() == [FULL]
    assert "“Renamed since”, which is not in force" in Decision.objects.get().sentence


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
    assert str(LOCKS) in asked[lock]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"amount_minor": None, "count": None}, "approvals_runninglimit_limits_something"),
        ({"amount_minor": -1}, "approvals_runninglimit_limits_something"),
        ({}, "approvals_runninglimit_once_a_scope"),
        ({"rule": "Second claim"}, "approvals_runninglimit_names_its_rule"),
        ({"scope": "rule"}, "approvals_runninglimit_names_its_rule"),
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
    no_rule = client.post(url, {**typed, "scope": "rule", "amount": "9", "workflow": refunds().pk, "rule": "None"})
    done = client.post(url, {**typed, "amount": "250.00", "count": "3"})

    assert "Limit the amount, the number of cases, or both." in nothing.content.decode()
    assert odd.status_code == 200
    assert "a rule that is in force in it. It has: " in no_rule.content.decode()
    assert done.status_code == 302
    assert str(RunningLimit.objects.get()) == "£250.00 and 3 cases a day to one customer"
    assert Entry.objects.get(verb="approvals.running_limit.added").reason == "Careful"
