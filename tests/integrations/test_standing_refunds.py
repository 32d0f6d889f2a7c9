"""What went back for a case stands: nothing is paid beside it, and what the gateway took back does not stand."""

import pgtrigger
import pytest

from accounts.models import Organization, User
from integrations import claiming, mirroring, recording, sending
from integrations.gateways import PaymentSeen, Receipt
from integrations.models import Action, Payment, Refund
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from tests.factories import make_action, make_authorization, make_case, make_cast, make_decision, make_run, make_tiers
from workflows.engine import repairing
from workflows.engine.running import advance, claim
from workflows.models import Authorization, Case, Decision, Run
from workflows.states import CaseState, RunState, Tier, WaitsFor

pytestmark = pytest.mark.django_db
ASKED = "73.29"
ACT = 3  # the step of the shipped workflow that refunds


@pytest.fixture
def sent(wholesale: Organization) -> Action:
    """A refund of 73.29 whose run was woken by what came of it."""
    make_cast(wholesale)
    make_tiers(wholesale)
    case = make_case(wholesale, amount=ASKED)
    run = make_run(case, position=ACT)
    return make_action(run, state=ActionState.VERIFIED)


def came_of(action: Action, *, minor: int, status: str = "succeeded") -> Refund:
    """The gateway's refund as the desk has seen it."""
    payment = Payment.objects.get(pk=action.payment_id)
    return mirroring.take_refund(payment, receipt_of(action, minor=minor, status=status), ours=action)


def receipt_of(action: Action, *, minor: int, status: str = "succeeded") -> Receipt:
    """What the gateway shows of it."""
    reference, payment = action.external_reference, action.payment.reference
    return Receipt(reference, payment, Money(minor, "GBP"), status, clock.now(), action.key)


def mismatch(action: Action, minor: int) -> None:
    """Another amount went back than was asked for."""
    came_of(action, minor=minor)
    put(action, ActionState.MISMATCHED, message="The gateway refunded £73.28 instead of £73.29.")


def put(action: Action, state: ActionState, **fields: str) -> None:
    """Have the verified action be as if something else had come of its try."""
    with pgtrigger.ignore("integrations.Action:only_listed_moves"):
        Action.objects.filter(pk=action.pk).update(state=state, verified_at=None, **fields)


def consent_again(run: Run) -> Authorization:
    """The rules were asked once more, and granted."""
    make_decision(run, tier=Tier.INSTANT)
    return make_authorization(run)


def work_off() -> None:
    """As a worker does."""
    while runs := claim():
        advance(runs)


def news_of_failure(action: Action) -> None:
    """The gateway tells that it took the refund back."""
    payment = Payment.objects.get(pk=action.payment_id)
    seen = PaymentSeen(payment.reference, payment.captured, Money(0, "GBP"), "succeeded", "", "", clock.now())
    mirroring._apply(payment, seen, [receipt_of(action, minor=7329, status="failed")])


def look_again(action: Action, *, minor: int) -> Action:
    """The sender reads the refund once more, because the payment was read once more."""
    (claimed,) = claiming.claim(10).actions
    assert claimed.pk == action.pk
    seen = receipt_of(action, minor=minor)
    recording.record_answer(claimed, sending.Answer(seen=seen, read_back=seen))
    action.refresh_from_db()
    return action


def state_of(case: Case) -> tuple[str, str]:
    """State of the case and of its newest run."""
    case.refresh_from_db()
    return case.state, case.runs.order_by("-pk").first().state


def test_a_verified_refund_finishes_the_case(sent: Action):
    came_of(sent, minor=7329)

    work_off()

    assert state_of(sent.case) == (CaseState.DONE, RunState.SUCCEEDED)


def test_a_wrong_amount_is_not_paid_again_when_it_is_tried_again(sent: Action):
    mismatch(sent, 7328)
    work_off()
    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)

    repairing.retry(sent.run_id, by=User.objects.get(username="ada"), reason="Perhaps it works now.")
    work_off()

    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)
    assert "instead of £73.29. Nothing more is sent for it" in Run.objects.get().reason
    assert Action.objects.count() == 1
    assert not Decision.objects.exclude(pk=sent.authorization.decision_id).exists()


def test_a_case_that_asks_for_what_really_went_back_is_done(sent: Action):
    mismatch(sent, 7328)
    Case.objects.filter(pk=sent.case_id).update(amount_minor=7328)

    work_off()

    assert state_of(sent.case) == (CaseState.DONE, RunState.SUCCEEDED)


def test_consent_to_another_amount_sends_nothing_beside_what_went_back(sent: Action):
    came_of(sent, minor=7329)
    Case.objects.filter(pk=sent.case_id).update(amount_minor=8000)
    sent.run.case.refresh_from_db()
    consent_again(sent.run)

    work_off()

    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)
    assert "£73.29 went back for this case before." in Run.objects.get().reason
    assert Action.objects.count() == 1


def test_a_run_parked_with_its_refund_under_way_goes_on_waiting_for_it(sent: Action):
    put(sent, ActionState.UNKNOWN, external_reference="")
    Case.objects.filter(pk=sent.case_id).update(state=CaseState.FAILED)
    Run.objects.filter(pk=sent.run_id).update(state=RunState.FAILED, wake_at=None, ended_at=clock.now())

    repairing.retry(sent.run_id, by=User.objects.get(username="ada"), reason="The worker died.")
    work_off()

    run = Run.objects.get()
    assert (run.state, run.waits_for) == (RunState.WAITING, WaitsFor.ACTION)
    assert Action.objects.count() == 1


def test_a_refund_taken_back_before_the_case_was_done_fails_it(sent: Action):
    came_of(sent, minor=7329)

    news_of_failure(sent)
    work_off()

    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)
    assert Run.objects.get().reason == "The gateway accepted the refund and then failed it."


def test_a_refund_taken_back_after_the_case_was_done_brings_it_back(sent: Action):
    came_of(sent, minor=7329)
    work_off()

    news_of_failure(sent)

    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)


def test_an_old_failure_does_not_undo_what_was_paid_anew(sent: Action):
    came_of(sent, minor=7329, status="failed")
    again = make_action(
        sent.run, state=ActionState.VERIFIED, external_reference="re_again",
        authorization=consent_again(sent.run),
    )  # fmt: skip
    came_of(again, minor=7329)
    work_off()
    assert state_of(sent.case) == (CaseState.DONE, RunState.SUCCEEDED)

    news_of_failure(sent)

    assert state_of(sent.case) == (CaseState.DONE, RunState.SUCCEEDED)


def test_a_wrong_answer_is_looked_at_again_and_put_right_by_a_person(sent: Action):
    mismatch(sent, 7328)
    work_off()
    payment = Payment.objects.get()
    seen = PaymentSeen(payment.reference, payment.captured, Money(7329, "GBP"), "succeeded", "", "", clock.now())

    mirroring._apply(payment, seen, [receipt_of(sent, minor=7329)])
    assert look_again(sent, minor=7329).state == ActionState.VERIFIED
    assert state_of(sent.case) == (CaseState.FAILED, RunState.FAILED)
    repairing.retry(sent.run_id, by=User.objects.get(username="ada"), reason="The gateway shows the right amount.")
    work_off()

    assert state_of(sent.case) == (CaseState.DONE, RunState.SUCCEEDED)


def test_an_amount_that_stays_wrong_is_looked_at_once_more_only(sent: Action):
    mismatch(sent, 7328)
    Action.objects.update(due_at=clock.now())

    assert look_again(sent, minor=7328).state == ActionState.MISMATCHED

    assert claiming.claim(10).actions == []
    assert not Payment.objects.filter(reread_at__isnull=False).exists()
