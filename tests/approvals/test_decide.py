"""One vote and why: what it decides, what is written down, and what is not voted on."""

from datetime import timedelta

import pytest

from accounts.models import User
from approvals.errors import (
    AlreadyDecided,
    ContentChanged,
    NothingToRefund,
    RationaleMissing,
)
from approvals.models import ReasonCode, Review, TierSettings, Vote
from approvals.services import Rationale, decide, escalate, void_open
from approvals.states import ReviewState, Verdict
from approvals.timers import settle
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.approvals.deciding import code, now, stages, untouched
from tests.factories import Cast, make_case, make_desk, make_review
from tests.plugins.line import pass_time, vote
from workflows.models import Authorization, Case, Run
from workflows.states import RunState

pytestmark = pytest.mark.django_db


# --- one vote --------------------------------------------------------------------------------------------------------


def test_the_last_vote_decides_and_takes_effect_after_the_undo_window(review: Review, cast: Cast):
    vote(review, cast.ada)

    assert now(review) == (ReviewState.APPROVING, 0)
    assert review.decided_by == cast.ada
    assert timedelta(seconds=8) < review.settles_at - clock.now() <= timedelta(seconds=10)
    assert not Authorization.objects.exists()
    assert settle(review.pk) == 0  # not yet
    pass_time(timedelta(seconds=11))
    assert settle(review.pk) == 1

    grant = Authorization.objects.get()
    assert (grant.source, grant.amount_minor, grant.currency, grant.target, grant.granted_by) == (
        "people", 14148, "GBP", review.case.target, "Ada Okafor",
    )  # fmt: skip
    assert now(review)[0] == ReviewState.APPROVED
    assert Run.objects.get().state == RunState.READY


def test_one_rejection_decides(review: Review, cast: Cast):
    stages(review, 2)

    vote(review, cast.ada, Verdict.REJECT)
    pass_time(timedelta(seconds=11))
    settle(review.pk)

    assert now(review)[0] == ReviewState.REJECTED
    assert not Authorization.objects.exists()
    assert Run.objects.get().state == RunState.READY


def test_a_vote_is_recorded_with_who_what_and_why(review: Review, cast: Cast):
    decide(
        review.pk,
        voter=cast.ada,
        verdict=Verdict.APPROVE,
        rationale=Rationale(code(review), "Parcel seen."),
        seen=review.content_hash,
    )

    cast_vote = Vote.objects.get()
    assert (cast_vote.voter, cast_vote.verdict, cast_vote.text, cast_vote.content_hash) == (
        cast.ada, "approve", "Parcel seen.", review.content_hash,
    )  # fmt: skip
    entry = Entry.objects.get(verb="approvals.review.voted_approve")
    assert (entry.user, entry.case_id, entry.reason) == (cast.ada, review.case_id, "Goods came back. Parcel seen.")
    assert entry.after["hash"] == review.content_hash


def test_what_is_decided_cannot_be_decided_again(review: Review, cast: Cast):
    vote(review, cast.ada)

    with pytest.raises(AlreadyDecided, match="Approved, can be taken back by Ada Okafor"):
        vote(review, cast.ben, Verdict.REJECT)

    assert Vote.objects.count() == 1


def test_a_click_on_another_content_than_there_is_counts_nothing(review: Review, cast: Cast):
    with pytest.raises(ContentChanged):
        decide(review.pk, voter=cast.ada, verdict=Verdict.APPROVE, rationale=Rationale(code(review)), seen="0" * 64)

    assert untouched(review)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor", 1), ("currency", "EUR"), ("target", "pi_1"), ("party", "1"), ("key", "C1"), ("data", {"a": 1}),
    ],
)  # fmt: skip
def test_a_case_that_changed_since_it_was_opened_for_review_is_not_voted_on(review: Review, cast: Cast, field, value):
    Case.objects.filter(pk=review.case_id).update(**{field: value})

    with pytest.raises(ContentChanged):
        vote(review, cast.ada)

    assert untouched(review)


def test_a_case_without_a_payment_can_be_rejected_only(review: Review, cast: Cast):
    case = make_case(review.organization, target="", data={})
    bare = make_review(case)

    with pytest.raises(NothingToRefund):
        vote(bare, cast.ada)
    vote(bare, cast.ada, Verdict.REJECT)

    assert now(bare)[0] == ReviewState.REJECTING


# --- why -------------------------------------------------------------------------------------------------------------


def refused_for_its_reason(
    review: Review, voter: User, rationale: Rationale, verdict: Verdict = Verdict.APPROVE
) -> bool:
    with pytest.raises(RationaleMissing):
        decide(review.pk, voter=voter, verdict=verdict, rationale=rationale, seen=review.content_hash)
    return untouched(review)


@pytest.mark.parametrize("text", ["", "Too short", "   blanks       "])
def test_a_reason_that_asks_for_a_sentence_gets_one(review: Review, cast: Cast, text: str):
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review, text=True), text))


def test_a_tier_that_asks_for_a_sentence_gets_one(review: Review, cast: Cast):
    TierSettings.objects.filter(pk=review.settings_id).update(text_needed=True, text_minimum=20)

    assert refused_for_its_reason(review, cast.ada, Rationale(code(review), "Nineteen letters it"))


def test_a_reason_for_the_other_verdict_is_none(review: Review, cast: Cast):
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review, Verdict.REJECT)))
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review)), Verdict.REJECT)


def test_a_reason_that_is_switched_off_or_of_somebody_else_is_none(review: Review, cast: Cast):
    other, _ = make_desk("other", suffix="-other")
    foreign = ReasonCode.objects.get(organization=other, code="goods-returned")
    ReasonCode.objects.filter(pk=code(review).pk).update(enabled=False)

    assert refused_for_its_reason(review, cast.ada, Rationale(foreign))
    assert refused_for_its_reason(review, cast.ada, Rationale(code(review)))


# --- the rest --------------------------------------------------------------------------------------------------------


def test_escalating_keeps_the_first_moment(review: Review, cast: Cast):
    escalate(review.pk, by=cast.ada, text="Over my head.")
    first = Review.objects.get().escalated_at
    escalate(review.pk, by=cast.ben, text="")

    assert Review.objects.get().escalated_at == first
    assert Entry.objects.filter(verb="approvals.review.escalated").count() == 2


@pytest.mark.parametrize("state", ["open", "approving", "rejecting"])
def test_a_case_that_is_withdrawn_or_corrected_voids_its_review(review: Review, cast: Cast, state: str):
    if state != "open":
        vote(review, cast.ada, Verdict.APPROVE if state == "approving" else Verdict.REJECT)

    void_open(review.case, "Ada corrected the request")

    assert now(review)[0] == ReviewState.VOID
    pass_time(timedelta(minutes=1))
    assert settle(review.pk) == 0
    assert not Authorization.objects.exists()
    assert Entry.objects.get(verb="approvals.review.voided").reason == "Ada corrected the request"
