"""The whole line in one process: event bytes in, money back at a real gateway process, the case closed."""

from datetime import timedelta

from approvals.states import ReviewState
from approvals.tasks import settle_due
from integrations.models import Action
from integrations.states import ActionState
from tests.plugins.line import Line, open_review_of, pass_time, vote
from workflows.states import CaseState
from workflows.tasks import tick


def test_a_small_request_is_refunded_without_anybody(line: Line) -> None:
    case = line.ask("19.80")

    line.work()

    case.refresh_from_db()
    assert (case.state, case.standing) == (CaseState.DONE, "£19.80 refunded, verified at the gateway.")
    assert [(refund["payment"], refund["amount"]) for refund in line.refunds()] == [(case.target, 1980)]
    assert Action.objects.get().state == ActionState.VERIFIED
    line.assert_sound()


def test_a_large_request_is_refunded_once_somebody_approved(line: Line) -> None:
    case = line.ask("141.48")
    line.work()
    review = open_review_of(case)
    assert line.refunds() == []

    vote(review, line.cast.ada)
    line.work()
    assert line.refunds() == []  # it can still be taken back
    line.let_pass(seconds=11)

    case.refresh_from_db()
    review.refresh_from_db()
    assert (case.state, review.state) == (CaseState.DONE, ReviewState.APPROVED)
    assert [refund["amount"] for refund in line.refunds(case)] == [14148]
    line.assert_sound()


def test_cases_at_different_steps_move_in_one_batch(line: Line) -> None:
    reviewed = line.ask("141.48")
    line.work()
    vote(open_review_of(reviewed), line.cast.ada)
    pass_time(timedelta(seconds=11))
    settle_due()
    instant = line.ask("19.80")
    before = len(line.gateway.requests())

    assert tick() == 2  # both runs at once

    asked = [request["path"] for request in line.gateway.requests()[before:]]
    assert asked == [f"/v1/payment_intents/{instant.target}"]  # once: nothing had to be done over
    assert Action.objects.count() == 2
