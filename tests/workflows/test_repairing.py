"""Failures: what becomes one, how they are grouped, and how their runs go on."""

import pytest
from django.db import transaction

from auditlog.models import Entry
from tests.races import at_once, round_by_round
from tests.workflows.conftest import Probe
from workflows.engine.failing import fingerprint
from workflows.engine.outcomes import Done, Wait
from workflows.engine.repairing import resume, retry
from workflows.engine.running import advance, claim
from workflows.errors import NotRepairable, StepFailed
from workflows.models import Failure, FailureItem, Run, StepRun
from workflows.states import CaseState, FailureKind, FailureState, RunState, WaitsFor


def fails(message="The gateway does not know the payment.", kind=FailureKind.DATA):
    def script(context):
        raise StepFailed(kind, message)

    return script


def fail_one(probe: Probe, message="The gateway does not know the payment.") -> Run:
    probe.second(fails(message))
    [run] = probe.runs(1)
    advance(claim())
    run.refresh_from_db()
    return run


def print_of(message, *, step="refund", connection="gateway", kind="data"):
    return fingerprint("refund", step, connection, kind, message)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Only £12.50 is left, £30.00 was to go back.", "Only £7.00 is left, £8.00 was to go back."),
        ("“pi_1” is no payment.", "“the payment” is no payment."),
        ("Order 536365 is unknown.", "Order 1 is unknown."),
    ],
)
def test_numbers_and_quotes_do_not_make_another_failure(one, other):
    assert print_of(one) == print_of(other)


def test_step_connection_kind_and_words_make_another_failure():
    prints = {
        print_of("It is down."),
        print_of("It is up."),
        print_of("It is down.", step="verify"),
        print_of("It is down.", connection="shop"),
        print_of("It is down.", kind="transient"),
    }

    assert len(prints) == 5


def test_runs_that_stop_for_the_same_cause_are_one_failure(probe: Probe):
    for number in (7, 19, 4_000):
        fail_one(probe, f"Order {number} is unknown.")
    fail_one(probe, "The customer is unknown.")

    counts = {failure.message: failure.items.count() for failure in Failure.objects.all()}
    assert counts == {"Order 7 is unknown.": 3, "The customer is unknown.": 1}
    opened = Entry.objects.filter(verb="workflows.failure.opened")
    assert opened.count() == 2


def test_a_retried_run_goes_on_where_it_stopped(probe: Probe):
    run = fail_one(probe)
    probe.second(lambda context: Done())

    retry(run.pk, by=probe.ada, reason="The gateway has it now.")
    advance(claim())

    run.refresh_from_db()
    assert (run.state, run.case.state) == (RunState.SUCCEEDED, CaseState.DONE)
    assert list(StepRun.objects.values_list("key", "outcome")) == [
        ("first", "done"), ("second", "failed"), ("second", "done"),
    ]  # fmt: skip
    assert Failure.objects.get().state == FailureState.RESOLVED
    entry = Entry.objects.get(verb="workflows.run.repaired")
    assert (entry.user, entry.reason) == (probe.ada, "The gateway has it now.")


def test_a_step_that_starts_over_sends_its_run_back_to_the_first(probe: Probe):
    probe.inside.starts_over = True
    run = fail_one(probe)
    Run.objects.filter(pk=run.pk).update(facts={"amount": {"value": 1}})

    retry(run.pk, by=probe.ada, reason="Again.")

    run.refresh_from_db()
    assert (run.position, run.facts) == (0, {})


def test_a_failure_is_resolved_with_its_last_run_only(probe: Probe):
    first, second = fail_one(probe), fail_one(probe)
    probe.second(lambda context: Done())

    retry(first.pk, by=probe.ada, reason="Again.")
    assert Failure.objects.get().state == FailureState.OPEN
    retry(second.pk, by=probe.ada, reason="Again.")
    assert Failure.objects.get().state == FailureState.RESOLVED


def test_a_run_that_fails_again_comes_back_to_its_failure(probe: Probe):
    run = fail_one(probe)
    retry(run.pk, by=probe.ada, reason="Again.")

    advance(claim())

    failure = Failure.objects.get()
    assert failure.state == FailureState.OPEN
    assert failure.items.filter(repaired_at=None).count() == 1
    assert Entry.objects.filter(verb="workflows.failure.reopened").count() == 1


@pytest.mark.parametrize("state", ["waiting", "done"])
def test_only_a_failed_run_can_be_repaired(probe: Probe, state):
    if state == "waiting":
        probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))
    [run] = probe.runs(1)
    advance(claim())

    with pytest.raises(NotRepairable):
        retry(run.pk, by=probe.ada, reason="Again.")

    assert not Entry.objects.filter(verb="workflows.run.repaired").exists()


def test_two_people_who_retry_at_once_start_it_once(committed_probe: Probe):
    run = fail_one(committed_probe)
    committed_probe.second(lambda context: Done())

    answers = at_once(*[lambda: retry(run.pk, by=committed_probe.ada, reason="Again.")] * 2)

    assert sorted(isinstance(answer, NotRepairable) for answer in answers) == [False, True]
    advance(claim())
    assert StepRun.objects.filter(key="second", outcome="done").count() == 1


def test_a_failure_is_never_resolved_while_a_run_stops_for_it(committed_probe: Probe):
    """One person repairs the last run while another run stops for the same cause."""
    rounds = 25
    pairs = []
    for number in range(rounds):
        [repaired, stops] = committed_probe.runs(2, data={"cause": chr(65 + number)})
        pairs.append((repaired, stops))

    def stop(context):
        raise StepFailed(FailureKind.DATA, f"Cause {context.case.data['cause']}.")

    committed_probe.second(stop)
    claimed = {run.pk: run for run in claim(limit=2 * rounds)}
    advance([claimed[repaired.pk] for repaired, _ in pairs])

    round_by_round(
        [
            lambda number: retry(pairs[number][0].pk, by=committed_probe.ada, reason="Again."),
            lambda number: advance([claimed[pairs[number][1].pk]]),
        ],
        rounds,
    )

    still_stopped = FailureItem.objects.filter(repaired_at=None).select_related("failure")
    assert still_stopped.count() == rounds
    assert {item.failure.state for item in still_stopped} == {FailureState.OPEN}


def test_waking_a_run_that_does_not_wait_does_nothing(probe: Probe):
    [run] = probe.runs(1)
    with transaction.atomic():
        assert not resume(run.pk)
        advance(claim())
        assert not resume(run.pk)

    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]
