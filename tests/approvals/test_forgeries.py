"""Steps skipped and rows forged: without the consent that its tier asks for no money moves."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import User
from approvals import timers
from approvals.errors import NotAVoter, SelfApproval, VotedBefore
from approvals.grants import why_void
from approvals.models import Review
from approvals.states import ReviewState
from approvals.tasks import settle_due
from integrations.models import Action
from integrations.states import ActionState
from integrations.tasks import send_due
from opsdesk.lib import clock
from opsdesk.lib.errors import DomainError
from tests.approvals.gone_around import ACT, nothing_moved, waiting
from tests.factories import (
    make_action,
    make_authorization,
    make_case,
    make_decision,
    make_run,
)
from tests.plugins.line import Line, pass_time, vote
from workflows.models import Authorization, Case, Run
from workflows.states import CaseState, RunState, Tier
from workflows.tasks import tick

pytestmark = pytest.mark.django_db


def test_opening_every_door_out_of_turn_moves_nothing(line: Line):
    """The tasks take no arguments, so all one can do is to ring: nothing that waits for people goes on."""
    review = waiting(line)

    for _ in range(3):
        for door in (send_due, settle_due, tick, partial(timers.settle, review.pk), partial(timers.leave, review.pk)):
            door()
        pass_time(timedelta(days=30))

    review.refresh_from_db()
    assert review.state == ReviewState.OPEN
    assert nothing_moved(line)


def put_at_the_last_step(review: Review) -> None:
    Run.objects.filter(pk=review.run_id).update(
        state=RunState.READY, position=ACT, wake_at=clock.now(), waits_for="", reason=""
    )


def call_the_review_approved(review: Review) -> None:
    Review.objects.filter(pk=review.pk).update(state=ReviewState.APPROVED, closed_at=clock.now())
    Run.objects.filter(pk=review.run_id).update(state=RunState.READY, wake_at=clock.now(), waits_for="", reason="")


def have_rules_authorize(review: Review) -> None:
    forge(review, "rule")
    put_at_the_last_step(review)


def have_a_window_authorize(review: Review) -> None:
    forge(review, "window")
    put_at_the_last_step(review)


def have_nobody_authorize(review: Review) -> None:
    forge(review, "people")
    put_at_the_last_step(review)


def have_votes_authorize_that_never_took_effect(review: Review) -> None:
    voter = User.objects.get(username="ada")
    vote(review, voter)
    forge(review, "people")
    put_at_the_last_step(review)


def forge(review: Review, source: str) -> Authorization:
    """An authorization over exactly what was decided, which nobody granted."""
    return make_authorization(review.run, source=source, granted_by="a forger")


FORGERIES: list[Callable[[Review], None]] = [
    put_at_the_last_step,
    call_the_review_approved,
    have_rules_authorize,
    have_a_window_authorize,
    have_nobody_authorize,
    have_votes_authorize_that_never_took_effect,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a_forged_state_or_grant_moves_no_money(line: Line, forgery: Callable[[Review], None]):
    review = waiting(line)

    forgery(review)
    line.work()

    assert nothing_moved(line)
    assert Run.objects.get(pk=review.run_id).state == RunState.FAILED
    assert Case.objects.get(pk=review.case_id).state == CaseState.FAILED


@pytest.mark.parametrize(
    ("source", "tier", "says"),
    [
        ("rule", Tier.INSTANT, ""),
        ("rule", Tier.FAST_TRACK, "Rules alone cannot authorize this."),
        ("rule", Tier.FULL_REVIEW, "Rules alone cannot authorize this."),
        ("window", Tier.INSTANT, "No objection window stands behind this authorization."),
        ("window", Tier.FULL_REVIEW, "No objection window stands behind this authorization."),
        ("people", Tier.INSTANT, "Nobody's vote stands behind this authorization."),
        ("people", Tier.FULL_REVIEW, "Nobody's vote stands behind this authorization."),
    ],
)
def test_a_grant_has_behind_it_what_its_tier_asks_for(line: Line, source: str, tier: Tier, says: str):
    run = make_run(make_case(line.organization))
    make_decision(run, tier=tier)

    assert why_void(make_authorization(run, source=source)) == says


INTENT = {
    "amount_minor": 9_999_999,
    "currency": "EUR",
    "operation": "payout",
    "key": "00000000-0000-4000-8000-000000000000",
}


@pytest.mark.parametrize("column", INTENT)
def test_an_intent_cannot_be_rewritten(line: Line, column: str):
    action = make_action(make_run(make_case(line.organization)))

    with pytest.raises(DatabaseError, match="Cannot update"), transaction.atomic():
        Action.objects.filter(pk=action.pk).update(**{column: INTENT[column]})
    with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
        Action.objects.filter(pk=action.pk).delete()

    assert Action.objects.get().state == ActionState.RESERVED


def test_what_was_granted_cannot_be_rewritten_or_used_twice(line: Line):
    action = make_action(make_run(make_case(line.organization)))
    grant = action.authorization

    for change in ({"amount_minor": 1}, {"target": "pi_other"}, {"content_hash": "0" * 64}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Authorization.objects.filter(pk=grant.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_action(action.run, authorization=grant, payment=action.payment)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_authorization(action.run)


def test_refusals_say_why(line: Line):
    """Whatever refuses a person does so in a sentence of its own."""
    for refusal in (SelfApproval, NotAVoter, VotedBefore):
        assert issubclass(refusal, DomainError)
        assert len(str(refusal())) > 20
