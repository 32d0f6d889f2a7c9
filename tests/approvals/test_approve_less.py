"""Approving less than is asked: what is authorized, what is sent, and what the case says."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from approvals import timers
from approvals.errors import WrongAmount
from approvals.grants import least_of, why_void
from approvals.models import Review, Stage, Vote
from approvals.services import Rationale, decide, take_back
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from integrations.models import Action
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.approvals.desk import decision, htmx, signed_in, url
from tests.factories import make_vote
from tests.plugins.line import Line, open_review_of, pass_time, vote
from workflows import cases, texts
from workflows.models import Authorization, Case, Run
from workflows.states import CaseState, Tier
from workflows.tasks import tick

pytestmark = pytest.mark.django_db


@pytest.fixture
def review(line: Line) -> Review:
    """£141.48 of a payment wait for one vote."""
    case = line.ask("141.48")
    tick()
    return open_review_of(case)


def approve(review: Review, voter, amount: Money | None, verdict: Verdict = Verdict.APPROVE) -> Review:
    code = review.organization.reason_codes.filter(verdict=verdict, text_needed=False).first()
    return decide(
        review.pk, voter=voter, verdict=verdict, rationale=Rationale(code), seen=review.content_hash, amount=amount
    )


def pounds(text: str) -> Money:
    return Money.parse(text, "GBP")


def test_just_the_lesser_amount_is_authorized_sent_and_shown(line: Line, review: Review):
    tier = review.tier

    approve(review, line.cast.ada, pounds("100.00"))
    line.let_pass(seconds=11)

    grant, case = Authorization.objects.get(), Case.objects.get(pk=review.case_id)
    assert (grant.amount, grant.currency) == (pounds("100.00"), "GBP")
    assert grant.content_hash == case.content_hash(grant.run.facts, 10_000) != review.content_hash
    assert [refund["amount"] for refund in line.refunds()] == [10_000]
    assert (case.state, case.amount) == (CaseState.DONE, pounds("141.48"))
    assert Review.objects.get().tier == tier
    assert texts.fill("{case.granted} of {case.amount}", case, {}) == "£100.00 of £141.48"
    entry = Entry.objects.get(verb="approvals.review.voted_approve")
    assert (entry.after["amount"], entry.after["asked"]) == (10_000, 14_148)
    page = signed_in(line.cast.ada).get(url("case", review)).content.decode()
    assert "of £141.48 asked" in page
    assert "<dt>Approved</dt><dd>£100.00</dd>" in page
    line.assert_sound()


@pytest.mark.parametrize("minor", [0, -1, -10_000, 14_149, 10**15])
def test_more_than_is_asked_or_nothing_is_not_approved(line: Line, review: Review, minor: int):
    with pytest.raises(WrongAmount):
        approve(review, line.cast.ada, Money(minor, "GBP"))

    assert not Vote.objects.exists()


def test_another_currency_and_a_rejection_have_no_lesser_amount(line: Line, review: Review):
    with pytest.raises(WrongAmount, match="currency"):
        approve(review, line.cast.ada, Money(10_000, "EUR"))
    with pytest.raises(WrongAmount, match="rejection"):
        approve(review, line.cast.ada, pounds("100.00"), Verdict.REJECT)

    assert not Vote.objects.exists()


def test_all_that_is_asked_is_no_lesser_amount(line: Line, review: Review):
    approve(review, line.cast.ada, pounds("141.48"))

    assert Vote.objects.get().amount_minor is None


def test_of_several_votes_the_least_is_authorized(line: Line, review: Review):
    Stage.objects.filter(tier=review.settings).update(votes=3)
    approve(review, line.cast.ada, pounds("120.00"))
    approve(review, line.cast.ben, pounds("130.00"))
    approve(review, line.cast.maya, None)  # the button offered what stood

    assert sorted(Vote.objects.values_list("amount_minor", flat=True)) == [12_000, 12_000, 13_000]
    pass_time(timedelta(seconds=11))
    assert timers.settle(review.pk) == 1
    assert Authorization.objects.get().amount == pounds("120.00")


def test_a_lesser_vote_that_is_taken_back_no_longer_counts_and_raises_nobody_elses(line: Line, review: Review):
    Stage.objects.filter(tier=review.settings).update(votes=2)
    approve(review, line.cast.ada, pounds("100.00"))
    approve(review, line.cast.ben, None)

    take_back(review.pk, voter=line.cast.ada)
    vote(review, line.cast.maya)
    line.let_pass(seconds=11)

    # Ben consented to what he was shown, and to no more.
    assert [refund["amount"] for refund in line.refunds()] == [10_000]


def test_a_lesser_vote_never_asks_for_another_tier(line: Line):
    case = line.ask("60.00")
    tick()
    review = open_review_of(case)
    assert review.tier == Tier.FAST_TRACK

    approve(review, line.cast.ada, pounds("0.01"))
    line.let_pass(seconds=11)

    assert [refund["amount"] for refund in line.refunds(case)] == [1]
    assert Review.objects.get(case=case).tier == Tier.FAST_TRACK


def test_the_amount_asked_cannot_change_under_a_lesser_consent(line: Line, review: Review):
    approve(review, line.cast.ada, pounds("100.00"))
    cases.correct(review.case_id, by=line.cast.maya, changes={"amount": "100.00"}, reason="They asked for less.")
    line.let_pass(seconds=11)

    assert line.refunds() == []
    assert Review.objects.filter(case=review.case_id, state=ReviewState.OPEN).exists()


def test_an_amount_behind_the_votes_back_is_worth_nothing(line: Line, review: Review):
    approve(review, line.cast.ada, pounds("100.00"))
    pass_time(timedelta(seconds=11))
    timers.settle(review.pk)
    grant = Authorization.objects.get()

    assert why_void(grant) == ""
    grant.amount_minor = 14_148
    assert "more than was approved" in why_void(grant)


def test_the_database_takes_no_vote_over_nothing_and_changes_none(line: Line, review: Review):
    for verdict, minor in ((Verdict.APPROVE, 0), (Verdict.APPROVE, -1), (Verdict.REJECT, 100)):
        with pytest.raises(IntegrityError, match="approvals_vote_approves_an_amount"), transaction.atomic():
            make_vote(review, line.cast.ada, verdict, amount_minor=minor)
    standing = make_vote(review, line.cast.ada, amount_minor=100)

    with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
        Vote.objects.filter(pk=standing.pk).update(amount_minor=14_148)
    assert least_of([standing]) == 100


def test_an_authorization_over_less_without_its_hash_moves_nothing(line: Line, review: Review):
    """A forged grant over a part carries the hash of the whole: the step that acts recomputes it."""
    vote(review, line.cast.ada)
    Authorization.objects.create(
        organization=review.organization, case=review.case, run=review.run, decision=review.decision, source="people",
        amount_minor=1, currency="GBP", target=review.case.target, content_hash=review.content_hash,
        granted_by="a forger",
    )  # fmt: skip
    Run.objects.filter(pk=review.run_id).update(state="ready", position=3, wake_at=clock.now(), waits_for="", reason="")
    line.work()

    assert line.refunds() == []
    assert not Action.objects.exists()
    assert Run.objects.get().state == "failed"


# --- the page --------------------------------------------------------------------------------------------------------


def sent(review: Review, amount: str, **more):
    return {**decision(review), "verdict": "less", "amount": amount, **more}


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("", "Say how much of it is approved."),
        ("1e2", "is not an amount"),
        ("0", "more than nothing and less than £141.48"),
        ("-5", "more than nothing and less than £141.48"),
        ("141.48", "more than nothing and less than £141.48"),
        ("500", "more than nothing and less than £141.48"),
        ("1.234", "more decimals than GBP has"),
        ("\uff11\uff10", "is not an amount"),
    ],
)
def test_what_is_no_lesser_amount_is_said_where_it_was_typed(line: Line, review: Review, amount: str, says: str):
    response = signed_in(line.cast.ada).post(url("decide", review), sent(review, amount), **htmx())

    assert response.status_code == 422
    page = response.content.decode()
    assert says in page
    assert 'id="lesser-error"' in page
    assert not Vote.objects.exists()


def test_an_amount_that_was_typed_is_not_overlooked_by_the_other_button(line: Line, review: Review):
    typed = decision(review, amount="10.00")

    response = signed_in(line.cast.ada).post(url("decide", review), typed, **htmx())

    assert response.status_code == 422
    assert "press “Approve less”" in response.content.decode()
    assert not Vote.objects.exists()


def test_a_part_is_approved_from_the_page(line: Line, review: Review):
    response = signed_in(line.cast.ada).post(url("decide", review), sent(review, "100.5"), **htmx())

    assert response.status_code == 200
    assert Vote.objects.get().amount == pounds("100.50")
    assert "Approved £100.50 of £141.48" in response.headers["HX-Trigger"].encode().decode("unicode_escape")
    assert "£100.50" in response.content.decode()
