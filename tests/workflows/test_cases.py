"""What a request becomes, and what people may still do to a case."""

import pytest
from django.db import transaction

from auditlog.models import Entry
from auditlog.services import Actor
from tests.workflows.conftest import Probe
from workflows import cases, registry
from workflows.cases import NotCorrectable, NothingToCorrect, content_from, correct, withdraw
from workflows.engine.outcomes import Done, Wait
from workflows.engine.running import advance, claim
from workflows.errors import StepFailed
from workflows.models import Correction, Failure, Run
from workflows.states import CaseState, FailureKind, FailureState, RunState, WaitsFor

FIELDS = {
    "key": "reference",
    "amount": "amount",
    "currency": "currency",
    "target": "payment",
    "party": "customer",
    "reason": "reason",
    "requested_by": "requested_by",
    "moment": "requested_at",
}
REQUEST = {
    "reference": "C536391",
    "amount": "141.48",
    "currency": "GBP",
    "payment": "pi_536365",
    "customer": "17548",
    "reason": "returned",
    "requested_by": "shop form",
    "requested_at": "2026-03-01T10:30:00Z",
}


def read(**changes):
    return content_from(FIELDS, {**REQUEST, **changes}, unnamed="event-7")


def test_a_sound_request_has_no_problems():
    content = read()

    assert content["problems"] == []
    assert (content["key"], content["amount_minor"], content["currency"]) == ("C536391", 14148, "GBP")
    assert (content["target"], content["party"]) == ("pi_536365", "17548")
    assert content["requested_at"].isoformat() == "2026-03-01T10:30:00+00:00"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"amount": None}, "“None” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": "0.00"}, "£0.00 cannot be refunded: the amount must be above zero."),
        ({"amount": "-5.00"}, "−£5.00 cannot be refunded: the amount must be above zero."),
        ({"amount": "1.005"}, "“1.005” has more decimals than GBP has (2)."),
        ({"amount": "10,00"}, "“10,00” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": "1e3"}, "“1e3” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": "NaN"}, "“NaN” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": "9" * 17}, f"“{'9' * 17}” is larger than any amount the desk accepts."),
        ({"amount": 12}, "“12” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": True}, "“True” is not an amount: write digits with a point, such as 12.50."),
        ({"amount": ["5.00"]}, "“['5.00']” is not an amount: write digits with a point, such as 12.50."),
        ({"currency": "XXX"}, "“XXX” is not a currency the desk knows."),
        ({"currency": None}, "“None” is not a currency the desk knows."),
        ({"currency": "JPY"}, "“141.48” has more decimals than JPY has (0)."),
        ({"reference": None}, "The request has no usable reference: give it one."),
        ({"reference": "   "}, "The request has no usable reference: give it one."),
        ({"reference": "C" * 101}, "reference is longer than 100 characters."),
        ({"reference": ["C1"]}, "reference must be a text."),
        ({"payment": {"id": "pi_1"}}, "payment must be a text."),
        ({"payment": "p" * 101}, "payment is longer than 100 characters."),
        ({"customer": True}, "customer must be a text."),
        (
            {"requested_at": "yesterday"},
            "“yesterday” is not a moment with its zone, such as 2026-03-01T10:30:00Z.",
        ),
        (
            {"requested_at": "2026-02-30T10:30:00Z"},
            "“2026-02-30T10:30:00Z” is not a moment with its zone, such as 2026-03-01T10:30:00Z.",
        ),
        (
            {"requested_at": "2026-03-01T10:30:00"},
            "“2026-03-01T10:30:00” is not a moment with its zone, such as 2026-03-01T10:30:00Z.",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_sentences(changes, problem):
    assert problem in read(**changes)["problems"]


def test_a_request_without_a_usable_reference_is_known_by_its_event():
    assert read(reference=None)["key"] == read(reference="C" * 101)["key"] == "event-7"


def test_half_a_payment_reference_is_none():
    assert read(payment="p" * 101)["target"] == ""


@pytest.mark.parametrize("reason", ["r" * 61, ["returned"], {}, True])
def test_what_the_requester_merely_says_is_never_wrong(reason):
    content = read(reason=reason, requested_by="x" * 500)

    assert content["problems"] == []
    assert len(content["reason"]) <= 60
    assert len(content["requested_by"]) == 120


def test_every_problem_can_be_put_right_by_a_person():
    """Whatever field a problem is about, the form has it."""
    wrong = {**{name: ["nonsense"] for name in REQUEST}, "amount": "nonsense", "currency": "nonsense"}
    problems = content_from(FIELDS, wrong, unnamed="event-7")["problems"]

    mended = {**wrong, **{name: REQUEST[name] for name in cases.CORRECTABLE if name in REQUEST}}
    assert problems
    assert content_from(FIELDS, mended, unnamed="event-7")["problems"] == []


# --- correcting ------------------------------------------------------------------------------------------------------


def refuse_unsound(context):
    if context.case.problems:
        raise StepFailed(FailureKind.DATA, " ".join(context.case.problems))
    return Done()


@pytest.fixture
def failed_case(probe: Probe):
    """A case whose amount nobody can read, shown to people as a failure."""
    [run] = probe.runs(1, amount=None, data={"reference": "C1", "amount": "1,00", "currency": "GBP"}, key="C1")
    run.case.problems = ["“1,00” is not an amount."]
    run.case.save(update_fields=["problems"])
    probe.second(refuse_unsound)
    advance(claim())
    return run.case


def test_a_corrected_case_goes_on_and_its_failure_is_resolved(probe: Probe, failed_case):
    assert Failure.objects.get().state == FailureState.OPEN

    correct(failed_case.pk, by=probe.ada, changes={"amount": "1.00"}, reason="The shop meant a point.")
    advance(claim())

    failed_case.refresh_from_db()
    assert (failed_case.state, failed_case.amount_minor, failed_case.problems) == (CaseState.DONE, 100, [])
    assert Failure.objects.get().state == FailureState.RESOLVED
    correction = Correction.objects.get()
    assert (correction.user, correction.before["amount"], correction.after["amount"]) == (probe.ada, "1,00", "1.00")
    entry = Entry.objects.get(verb="workflows.case.corrected")
    assert (entry.before, entry.after, entry.reason) == (
        {"amount": "1,00"}, {"amount": "1.00"}, "The shop meant a point.",
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{}, {"amount": "1,00"}, {"amount": " 1,00 "}, {"customer": ""}, {"lines": "none"}],
    ids=["nothing", "same", "same but for blanks", "empty stays empty", "not correctable"],
)
def test_a_correction_that_changes_nothing_is_refused(probe: Probe, failed_case, changes):
    with pytest.raises(NothingToCorrect):
        correct(failed_case.pk, by=probe.ada, changes=changes, reason="None at all.")

    assert not Correction.objects.exists()
    assert Run.objects.get().state == RunState.FAILED


def test_a_correction_to_a_reference_that_is_taken_is_refused(probe: Probe, failed_case):
    [other] = probe.runs(1, key="C2", data={"reference": "C2"})

    with pytest.raises(NotCorrectable, match="already a case with the reference C2"):
        correct(failed_case.pk, by=probe.ada, changes={"reference": "C2"}, reason="Typed wrongly.")

    assert other.case.key == "C2"
    assert not Correction.objects.exists()


def test_what_is_under_way_cannot_be_corrected(probe: Probe):
    probe.second(lambda context: Wait(WaitsFor.ACTION, "Being sent."))
    [run] = probe.runs(1, data={"reference": "C1", "amount": "1.00", "currency": "GBP"})
    advance(claim())

    with pytest.raises(NotCorrectable):
        correct(run.case_id, by=probe.ada, changes={"amount": "2.00"}, reason="More.")

    assert Run.objects.get().state == RunState.WAITING


def test_what_a_worker_holds_cannot_be_corrected(probe: Probe):
    [run] = probe.runs(1, data={"reference": "C1", "amount": "1.00", "currency": "GBP"})
    claim()

    with pytest.raises(NotCorrectable):
        correct(run.case_id, by=probe.ada, changes={"amount": "2.00"}, reason="More.")


def test_a_correction_while_the_run_waits_sends_it_back_to_its_first_step(probe: Probe, monkeypatch):
    voided = []
    monkeypatch.setattr(registry, "withdrawals", [lambda case, reason: voided.append((case.pk, reason))])
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1, data={"reference": "C1", "amount": "1.00", "currency": "GBP"})
    advance(claim())

    correct(run.case_id, by=probe.ada, changes={"amount": "2.00"}, reason="More.")

    run.refresh_from_db()
    assert (run.state, run.position, run.facts, run.waits_for) == (RunState.READY, 0, {}, "")
    assert voided == [(run.case_id, f"{probe.ada} corrected the request")]


# --- withdrawing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["ready", "waiting", "claimed"])
def test_an_open_case_can_be_withdrawn(probe: Probe, state):
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1)
    if state == "waiting":
        advance(claim())
    held = claim() if state == "claimed" else []

    assert withdraw(run.case_id, actor=Actor.outside("shop"), reason="Not wanted any more.")
    advance(held)

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.CANCELED, CaseState.CANCELED)
    assert run.case.standing == "Not wanted any more."
    assert claim() == []


def test_a_failed_case_that_is_withdrawn_leaves_no_failure_to_repair(probe: Probe, failed_case):
    assert withdraw(failed_case.pk, actor=Actor.outside("shop"), reason="Not wanted any more.")

    failure = Failure.objects.get()
    assert failure.state == FailureState.RESOLVED
    assert not failure.items.filter(repaired_at=None).exists()


def test_a_case_whose_money_is_under_way_cannot_be_withdrawn(probe: Probe):
    probe.second(lambda context: Wait(WaitsFor.ACTION, "Being sent."))
    [run] = probe.runs(1)
    advance(claim())

    assert not withdraw(run.case_id, actor=Actor.outside("shop"), reason="Too late.")

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.WAITING, CaseState.OPEN)


def test_a_closed_case_stays_closed(probe: Probe):
    [run] = probe.runs(1)
    advance(claim())

    assert not withdraw(run.case_id, actor=Actor.outside("shop"), reason="Too late.")
    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]


def test_a_withdrawal_is_written_with_its_entry_or_not_at_all(probe: Probe):
    [run] = probe.runs(1)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        withdraw(run.case_id, actor=Actor.outside("shop"), reason="Not wanted any more.")
        _ = 1 / 0

    assert not Entry.objects.filter(verb="workflows.case.withdrawn").exists()
    assert probe.states() == [(RunState.READY, CaseState.OPEN)]
