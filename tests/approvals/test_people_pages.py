"""Coaching and consistency: what people carry and decided, and look-alikes that were decided differently."""

from datetime import timedelta

import pytest

from approvals import lookalikes
from approvals.coaching import Coaching
from approvals.states import ReviewState, Verdict
from opsdesk.lib import clock
from tests import factories
from tests.approvals import opinions
from tests.plugins.pages import cost, text_of
from workflows.facts import known
from workflows.states import CaseState, RunState

COACHING, CONSISTENCY = "/coaching/", "/consistency/"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MOST = 12


def voted(organization, voter, *, verdict=Verdict.APPROVE, ago=HOUR, case=None, **fields):
    review = factories.make_review(case or factories.make_case(organization, state=CaseState.DONE))
    type(review).objects.filter(pk=review.pk).update(state=ReviewState.VOID, closed_at=clock.now())
    return factories.at(factories.make_vote(review, voter, verdict, **fields), cast_at=clock.now() - ago)


def work_of(cast, who, days=28):
    works = {work.user: work for work in Coaching(cast.maya.memberships.get(), days).people}
    return works[getattr(cast, who)]


def test_everybody_stands_in_the_order_of_their_names(organization, cast):
    for _ in range(3):
        voted(organization, cast.maya)

    people = [work.user for work in Coaching(cast.maya.memberships.get(), 28).people]

    assert people == [cast.ada, cast.ben, cast.maya]


def test_what_a_person_has_open_is_counted_with_its_age(organization, cast):
    old = factories.make_review(factories.make_case(organization), assignee=cast.ada, due_at=clock.now() - MINUTE)
    factories.at(old, opened_at=clock.now() - 5 * HOUR)
    factories.make_review(factories.make_case(organization), assignee=cast.ada)

    work = work_of(cast, "ada")

    assert (work.open, work.late) == (2, 1)
    assert work.age >= 5 * HOUR


def test_decisions_their_time_and_their_share_are_of_the_period(organization, cast):
    for place in range(6):
        verdict = Verdict.REJECT if place < 2 else Verdict.APPROVE
        voted(organization, cast.ada, verdict=verdict, ago=HOUR - place * 3 * MINUTE)
    voted(organization, cast.ada, ago=timedelta(days=20))
    voted(organization, cast.ada, withdrawn_at=clock.now())
    voted(organization, cast.ben)

    week, month = work_of(cast, "ada", 7), work_of(cast, "ada", 28)

    assert (week.decided, week.approved, week.approves, week.taken_back) == (6, 4, 67, 1)
    assert week.handling == pytest.approx(3 * MINUTE, abs=MINUTE / 2)
    assert month.decided == 7
    assert work_of(cast, "ben").handling is work_of(cast, "ben").approves is None


def test_a_verdict_is_overturned_when_somebody_else_decides_the_other_way_afterwards(organization, cast, sign_in):
    case = factories.make_case(organization, party_name="The Tin Robin")
    voted(organization, cast.ada, case=case, text="Looks right.")
    voted(organization, cast.ben, case=case, verdict=Verdict.REJECT)
    agreed = factories.make_case(organization)
    voted(organization, cast.ada, case=agreed)
    voted(organization, cast.ben, case=agreed)
    taken_back = factories.make_case(organization)
    voted(organization, cast.ada, case=taken_back)
    voted(organization, cast.ben, case=taken_back, verdict=Verdict.REJECT, withdrawn_at=clock.now())

    page = text_of(sign_in(cast.maya).get(f"{COACHING}?person={cast.ada.pk}"))

    assert (work_of(cast, "ada").overturned, work_of(cast, "ben").overturned) == (1, 0)
    assert f"Verdicts of Ada Okafor that did not stand 1 {case}, The Tin Robin" in page
    assert "Looks right." in page


def test_only_managers_look(organization, cast, sign_in):
    for address in (COACHING, CONSISTENCY):
        assert sign_in(cast.ada).get(address).status_code == 403
        assert sign_in(cast.maya).get(address).status_code == 200


def decided(organization, by, *, approved, amount="30.00", reason="damaged", age_days=400, refunds=0):
    """A case that somebody decided, of a customer of that age with so many refunds."""
    case = factories.make_case(organization, amount=amount, reason=reason)
    values = {"customer.age_days": age_days, "customer.refunds_90d": refunds}
    facts = {name: known(value, "shop", clock.now()) for name, value in values.items()}
    factories.make_run(case, state=RunState.WAITING, facts=facts)
    return opinions.decided(factories.make_review(case), by, approved=approved)


def test_look_alikes_decided_differently_are_shown_pairwise(organization, cast, sign_in):
    far = decided(organization, cast.ada, approved=True, amount="49.00")
    near = decided(organization, cast.ada, approved=True, amount="31.00")
    odd = decided(organization, cast.ben, approved=False, amount="30.00", refunds=3)

    [pair] = lookalikes.pairs(cast.maya.memberships.get())
    page = text_of(sign_in(cast.maya).get(CONSISTENCY))

    assert (pair.approved.pk, pair.rejected.pk, far.pk != near.pk) == (near.pk, odd.pk, True)
    assert pair.alike.words == "Damaged, customer for over a year, £25.00 to £50.00"
    assert [(each.approved, each.rejected) for each in pair.differences] == [("0", "3")]
    assert "decided by two people" in page
    assert f"{odd.case}" in page


@pytest.mark.parametrize("other", [{"amount": "51.00"}, {"reason": "late"}, {"age_days": 20}, {"approved": False}])
def test_cases_that_differ_in_kind_are_no_pair(organization, cast, other):
    decided(organization, cast.ada, **{"approved": True, **other})
    decided(organization, cast.ben, approved=False)

    assert lookalikes.pairs(cast.maya.memberships.get()) == []


def test_bands_and_kinds_of_customers_have_clear_edges():
    pence = (0, 999, 1_000, 2_499, 2_500, 10_000_000)
    assert [lookalikes.band_of(minor, "GBP") for minor in pence] == [0, 0, 1, 1, 2, 10]
    assert lookalikes.band_of(1_000, "JPY") == 7
    now = clock.now()
    days = [{"customer.age_days": known(days, "shop", now)} for days in (89, 90, 364, 365)]
    assert [lookalikes.segment_of(facts) for facts in [{}, *days]] == [
        "customer not known", "new customer", "customer for some months", "customer for some months",
        "customer for over a year",
    ]  # fmt: skip


def test_the_number_of_statements_does_not_grow_with_rows(organization, cast, sign_in):
    client = sign_in(cast.maya)

    def fill():
        case = factories.make_case(organization)
        voted(organization, cast.ada, case=case)
        voted(organization, cast.ben, case=case, verdict=Verdict.REJECT)
        decided(organization, cast.ada, approved=True)
        decided(organization, cast.ben, approved=False)

    fill()
    coaching = f"{COACHING}?person={cast.ada.pk}"
    few = cost(client, coaching), cost(client, CONSISTENCY)
    for _ in range(4):
        fill()

    assert (cost(client, coaching), cost(client, CONSISTENCY)) == few
    assert max(few) <= MOST
