"""The step that acts: money moves under an authorization for exactly this, checked where it is reserved."""

import pytest
from django.utils import timezone

from integrations.models import Action, Payment
from integrations.states import ActionState
from tests.factories import make_authorization, make_case, make_decision, make_desk, make_payment, make_run
from workflows.engine.running import advance, claim
from workflows.models import Authorization, Case, Run
from workflows.states import CaseState, RunState, Tier, WaitsFor

pytestmark = pytest.mark.django_db
ACT = 3
FACTS = {
    "amount": {"value": 6000, "source": "request", "at": "2026-01-01T00:00:00+00:00"},
    "order.share": {"value": "0.1200", "source": "shop", "at": "2026-01-01T00:00:00+00:00"},
    "payment.left": {"value": 50000, "source": "gateway", "at": "2026-01-01T00:00:00+00:00"},
}


@pytest.fixture
def run() -> Run:
    """A run about to act: 60.00 of 500.00, decided and authorized by rules."""
    organization, _ = make_desk()
    case = make_case(organization, amount="60.00", party="17548", data={"reference": "C1", "lines": []}, key="C1")
    run = make_run(case, position=ACT, facts=FACTS)
    make_payment(case)
    make_decision(run, tier=Tier.INSTANT)
    make_authorization(run)
    return run


def work() -> None:
    while runs := claim():
        advance(runs)


def outcome(run: Run) -> tuple[str, str]:
    run.refresh_from_db()
    return run.state, run.reason


def nothing_moved() -> bool:
    """No intent, and nothing held."""
    return not Action.objects.exists() and set(Payment.objects.values_list("reserved_minor", flat=True)) == {0}


def test_the_intent_holds_the_amount_under_its_authorization(run: Run):
    work()

    action = Action.objects.get()
    assert (action.state, action.amount_minor, action.authorization) == (
        ActionState.RESERVED, 6000, Authorization.objects.get(),
    )  # fmt: skip
    assert Payment.objects.get().reserved_minor == 6000
    assert outcome(run) == (RunState.WAITING, "Refund of £60.00 is being sent to Gateway.")
    assert run.waits_for == WaitsFor.ACTION


def test_without_an_authorization_nothing_moves(run: Run):
    Run.objects.filter(pk=run.pk).update(state=RunState.CANCELED, ended_at=timezone.now())
    bare = make_run(run.case, position=ACT, facts=FACTS)

    work()

    assert outcome(bare) == (RunState.FAILED, "No authorization covers this refund.")
    assert nothing_moved()


CHANGES = {
    "key": "C2",
    "amount_minor": 5999,
    "currency": "EUR",
    "target": "pi_999999",
    "party": "99999",
    "data": {"reference": "C1", "lines": [{"sku": "1"}]},
    "kind": "other",
}


@pytest.mark.parametrize("field", CHANGES)
def test_content_that_changed_after_the_authorization_blocks_it(run: Run, field: str):
    Case.objects.filter(pk=run.case_id).update(**{field: CHANGES[field]})

    work()

    assert outcome(run) == (
        RunState.FAILED,
        "The request or its facts changed after it was authorized: it has to be decided again.",
    )
    assert nothing_moved()
    assert Case.objects.get().state == CaseState.FAILED


@pytest.mark.parametrize("name", [*FACTS, "customer.known"])
def test_a_fact_that_changed_after_the_authorization_blocks_it(run: Run, name: str):
    changed = {**FACTS, name: {"value": 1, "source": "desk", "at": "2026-01-01T00:00:00+00:00"}}
    Run.objects.filter(pk=run.pk).update(facts=changed)

    work()

    assert outcome(run)[1].startswith("The request or its facts changed")
    assert nothing_moved()


def test_a_fact_that_went_missing_after_the_authorization_blocks_it(run: Run):
    Run.objects.filter(pk=run.pk).update(facts={name: FACTS[name] for name in list(FACTS)[:2]})

    work()

    assert outcome(run)[1].startswith("The request or its facts changed")
    assert nothing_moved()


def test_facts_that_were_merely_asked_again_do_not_block_it(run: Run):
    """Only values are what was decided about; when they were read is not."""
    later = {name: {**fact, "at": "2026-02-02T00:00:00+00:00"} for name, fact in FACTS.items()}
    Run.objects.filter(pk=run.pk).update(facts=later)

    work()

    assert outcome(run)[0] == RunState.WAITING


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"amount_minor": 6001}, "The authorization is over another amount."),
        ({"currency": "EUR"}, "The authorization is over another amount."),
        ({"target": "pi_999999"}, "The authorization is for another payment."),
        ({"content_hash": "0" * 64}, "The request or its facts changed after it was authorized"),
    ],
)
def test_an_authorization_for_something_else_covers_nothing(run: Run, changes: dict, refusal: str):
    decision = make_decision(run, tier=Tier.INSTANT)
    original = Authorization.objects.get()
    Authorization.objects.create(
        **{
            "organization_id": run.organization_id,
            "case": run.case,
            "run": run,
            "decision": decision,
            "source": Authorization.Source.RULE,
            "amount_minor": 6000,
            "currency": "GBP",
            "target": original.target,
            "content_hash": original.content_hash,
            "granted_by": "a forger",
            **changes,
        }
    )

    work()

    assert outcome(run)[0] == RunState.FAILED
    assert outcome(run)[1].startswith(refusal)
    assert nothing_moved()


def test_an_authorization_of_another_case_covers_nothing(run: Run):
    other = make_run(make_case(run.organization, amount="60.00", target=run.case.target), position=ACT, facts=FACTS)

    work()

    assert outcome(other) == (RunState.FAILED, "No authorization covers this refund.")
    assert Action.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"captured_minor": 5999}, "Only £59.99 of the payment is left, £60.00 was to go back."),
        ({"refunded_minor": 45000}, "Only £50.00 of the payment is left, £60.00 was to go back."),
        ({"reserved_minor": 44001}, "Only £59.99 of the payment is left, £60.00 was to go back."),
        ({"overbooked": True}, "Only £500.00 of the payment is left, £60.00 was to go back."),
        ({"currency": "EUR"}, "There is no payment to refund in this currency: name the payment."),
        ({"reference": "pi_999999"}, "There is no payment to refund in this currency: name the payment."),
    ],
    ids=str,
)
def test_a_payment_that_does_not_have_it_gives_nothing(run: Run, changes: dict, refusal: str):
    Payment.objects.update(**changes)

    work()

    assert outcome(run) == (RunState.FAILED, refusal)
    assert not Action.objects.exists()


@pytest.mark.parametrize("switch", ["enabled", "acting_enabled"])
def test_behind_a_switch_nothing_is_reserved_and_the_run_waits(run: Run, switch: str):
    connection = Payment.objects.get().connection
    setattr(connection, switch, False)
    connection.paused_reason = "The bank asked us to."
    connection.save()

    work()

    assert outcome(run) == (
        RunState.WAITING,
        "Sending through Gateway is switched off. The bank asked us to.",
    )
    assert nothing_moved()
    assert run.waits_for == WaitsFor.CONNECTION
    assert run.wake_at is not None


def test_one_authorization_is_used_once(run: Run):
    work()
    Run.objects.filter(pk=run.pk).update(state=RunState.READY, wake_at=timezone.now())

    work()

    assert Action.objects.count() == 1
    assert Payment.objects.get().reserved_minor == 6000
