"""One at a time: runs of the same key wait for each other, wake each other, and openings within moments are one."""

import json
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from auditlog.models import Entry
from opsdesk.invariants import check_all
from tests.factories import make_case, make_event
from tests.plugins.line import pass_time
from tests.races import at_once, round_by_round
from tests.workflows.conftest import Probe
from workflows import cases
from workflows.engine import controls, turns
from workflows.engine.intake import take_in
from workflows.engine.outcomes import Wait
from workflows.engine.repairing import sweep
from workflows.engine.running import advance, claim
from workflows.errors import StepFailed
from workflows.models import Case, Event, Run
from workflows.states import EventState, FailureKind, RunState, WaitsFor
from workflows.tasks import sweep as sweep_task


def keyed(probe: Probe, **more) -> Probe:
    """The probe in an edition in which one run a customer goes on at a time."""
    probe.publish(concurrency=["party"], fields={**probe.version.fields, "party": "customer"}, **more)
    return probe


def opened(probe: Probe, party: str, count: int = 1, **fields) -> list[Run]:
    """Runs as an opening makes them."""
    from workflows.engine.opening import new_run

    runs = [new_run(probe.version, make_case(probe.organization, party=party, **fields)) for _ in range(count)]
    for run in runs:
        run.save()
    return runs


def hold(probe: Probe) -> None:
    """The second step waits for a person, so that whoever is in turn stays so."""
    probe.second(lambda context: Wait(WaitsFor.REVIEW, "Waits for Ada."))


def states(runs: list[Run]) -> list[tuple[str, str]]:
    rows = Run.objects.filter(pk__in=[run.pk for run in runs]).order_by("pk")
    return list(rows.values_list("state", "waits_for"))


IN_TURN, IN_LINE = ("waiting", "review"), ("waiting", "turn")


def test_one_run_a_customer_goes_on_and_the_others_say_for_whom_they_wait(probe: Probe):
    keyed(probe)
    hold(probe)
    first, second, third = opened(probe, "17548", 3)
    [other] = opened(probe, "12347")

    advance(claim())

    assert states([first, second, third, other]) == [IN_TURN, IN_LINE, IN_LINE, IN_TURN]
    second.refresh_from_db()
    assert second.reason == f"Waits until RUN-{first.pk} of {first.case} has ended: one at a time."
    assert second.case.standing == second.reason
    assert second.wake_at is None and second.waiting_since is not None
    assert not second.steps.exists()


def test_a_run_without_all_of_its_fields_waits_for_nobody(probe: Probe):
    keyed(probe)
    hold(probe)
    runs = opened(probe, "", 2)

    advance(claim())

    assert states(runs) == [IN_TURN, IN_TURN]


def finish(run: Run, probe: Probe) -> None:
    probe.inside.scripts.clear()
    controls_run(run)
    hold(probe)


def controls_run(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(wake_at=run.started_at)
    advance([each for each in claim() if each.pk == run.pk])


def fail(run: Run, probe: Probe) -> None:
    def script(context):
        raise StepFailed(FailureKind.DATA, "The request has no amount.")

    probe.second(script)
    controls_run(run)
    hold(probe)


def withdraw(run: Run, probe: Probe) -> None:
    controls.cancel(run.pk, by=probe.ada, reason="Asked twice.")


def poison(run: Run, probe: Probe) -> None:
    Run.objects.filter(pk=run.pk).update(wake_at=run.started_at, lost_leases=2)
    claim()
    pass_time(timedelta(seconds=61))
    sweep()


@pytest.mark.parametrize("ends", [finish, fail, withdraw, poison])
def test_when_the_one_in_turn_ends_the_next_is_woken(probe: Probe, ends, django_capture_on_commit_callbacks):
    keyed(probe)
    hold(probe)
    first, second, third = opened(probe, "17548", 3)
    advance(claim())

    with django_capture_on_commit_callbacks(execute=True):
        ends(first, probe)

    assert states([second, third]) == [("ready", "turn"), IN_LINE]
    advance(claim())
    assert states([second, third]) == [IN_TURN, IN_LINE]


def test_the_most_urgent_in_line_is_next(probe: Probe, django_capture_on_commit_callbacks):
    keyed(probe)
    hold(probe)
    first, second, third = opened(probe, "17548", 3)
    advance(claim())
    controls.prioritize(third.pk, priority=10, by=probe.ada, reason="At the counter.")

    with django_capture_on_commit_callbacks(execute=True):
        withdraw(first, probe)

    assert states([second, third]) == [IN_LINE, ("ready", "turn")]


def test_a_lost_wake_is_made_good_by_the_sweeper(probe: Probe):
    keyed(probe)
    hold(probe)
    first, second = opened(probe, "17548", 2)
    advance(claim())
    withdraw(first, probe)  # nothing after its commit runs here
    assert states([second]) == [IN_LINE]
    pass_time(timedelta(minutes=2))
    [broken] = [finding for finding in check_all() if finding.name == "I3"]
    assert any(f"CASE-{second.case_id}" in words for words in broken.wrong)

    assert sweep_task() == 1

    assert states([second]) == [("ready", "turn")]
    assert sweep_task() == 0


def test_nobody_is_woken_while_one_is_in_turn(probe: Probe):
    keyed(probe)
    hold(probe)
    runs = opened(probe, "17548", 3)
    advance(claim())

    assert turns.wake_stranded() == 0
    assert states(runs) == [IN_TURN, IN_LINE, IN_LINE]


def test_a_repaired_run_gets_in_line_again(probe: Probe, django_capture_on_commit_callbacks):
    keyed(probe)
    hold(probe)
    first, second = opened(probe, "17548", 2)
    advance(claim())
    with django_capture_on_commit_callbacks(execute=True):
        fail(first, probe)
    advance(claim())
    assert states([first, second]) == [("failed", ""), IN_TURN]

    controls.retry(first.pk, by=probe.ada, reason="Again.")
    advance(claim())

    assert states([first, second]) == [IN_LINE, IN_TURN]


def test_a_corrected_customer_changes_the_line(probe: Probe, django_capture_on_commit_callbacks):
    keyed(probe)
    hold(probe)
    data = {"reference": "R1", "customer": "17548", "amount": "1.00", "currency": "GBP"}
    [first] = opened(probe, "17548", data=data)
    [second] = opened(probe, "17548")
    advance(claim())

    with django_capture_on_commit_callbacks(execute=True):
        cases.correct(first.case_id, by=probe.ada, changes={"customer": "12347"}, reason="It was another one.")
    advance(claim())

    first.refresh_from_db()
    assert first.concurrency_key == '["12347"]'
    assert states([first, second]) == [IN_TURN, IN_TURN]


def test_the_database_lets_no_second_one_be_in_turn(probe: Probe):
    keyed(probe)
    runs = opened(probe, "17548", 2)

    with pytest.raises(IntegrityError, match="workflows_run_one_in_turn_per_key"), transaction.atomic():
        Run.objects.filter(pk__in=[run.pk for run in runs]).update(in_turn=True)


def test_workers_at_once_leave_one_in_turn(committed_probe: Probe):
    keyed(committed_probe)
    hold(committed_probe)
    rounds = 8
    runs = [opened(committed_probe, f"{number}", 3) for number in range(rounds)]
    claimed = {run.pk: run for run in claim(limit=3 * rounds)}
    for place in range(3):
        assert len([claimed[each[place].pk] for each in runs]) == rounds

    round_by_round(
        [lambda number, place=place: advance([claimed[runs[number][place].pk]]) for place in range(3)], rounds
    )

    for each in runs:
        assert sorted(states(each)) == [IN_TURN, IN_LINE, IN_LINE]


# Openings within moments.


def say(probe: Probe, reference: str, customer: str = "17548") -> Event:
    data = {"reference": reference, "amount": "1.00", "currency": "GBP", "customer": customer}
    body = json.dumps({"type": "probe.requested", "data": data}).encode()
    return make_event(probe.organization, body)


def test_openings_of_the_same_customer_within_moments_are_one_run(probe: Probe):
    keyed(probe, debounce_seconds=30)
    first, second, other = say(probe, "R1"), say(probe, "R2"), say(probe, "R3", "12347")
    take_in()
    third = say(probe, "R4")
    take_in()

    for event in (first, second, third, other):
        event.refresh_from_db()
    assert [event.state for event in (first, second, third, other)] == ["processed", "ignored", "ignored", "processed"]
    assert sorted(Case.objects.values_list("key", flat=True)) == ["R1", "R3"]
    assert second.reason == "It came within 30 s of the case R1 and is taken as the same."
    assert second.case == third.case == first.case
    assert Entry.objects.filter(verb="workflows.case.repeated", case_id=first.case_id).count() == 2


@pytest.mark.parametrize("later", ["time", "canceled"])
def test_a_later_opening_or_one_after_a_withdrawal_is_its_own_run(probe: Probe, later):
    keyed(probe, debounce_seconds=30)
    say(probe, "R1")
    take_in()

    if later == "time":
        pass_time(timedelta(seconds=31))
    else:
        withdraw(Run.objects.get(), probe)
    event = say(probe, "R2")
    take_in()

    event.refresh_from_db()
    assert event.state == EventState.PROCESSED
    assert Run.objects.count() == 2


def test_workers_that_take_in_at_once_open_one_run(committed_probe: Probe):
    keyed(committed_probe, debounce_seconds=30)
    for number in range(4):
        say(committed_probe, f"R{number}")

    at_once(*[lambda: take_in(1)] * 4)

    assert Run.objects.count() == 1
    assert Event.objects.filter(state=EventState.IGNORED).count() == 3


# What a version may say.


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"concurrency": ["mood"]}, "“mood” is not one of them"),
        ({"concurrency": ["party", "party"]}, "a list of different fields"),
        ({"concurrency": {"party": 1}}, "a list of different fields"),
        ({"concurrency": ["target"]}, "do not say where it comes from"),
        ({"debounce_seconds": 5}, "must say which fields"),
        ({"concurrency": ["party"], "debounce_seconds": 90_000}, "at most 86,400 seconds"),
    ],
)
def test_what_could_not_run_is_refused(probe: Probe, said, complaint):
    from workflows.checking import check

    for name, value in {"fields": {**probe.version.fields, "party": "customer"}, **said}.items():
        setattr(probe.version, name, value)

    assert any(complaint in words for words in check(probe.version)), check(probe.version)


def test_whoever_moves_money_takes_every_request(probe: Probe):
    from workflows.checking import check

    probe.inside.moves_money = True
    probe.version.concurrency, probe.version.debounce_seconds = ["party"], 5

    assert any("looks at every request" in words for words in check(probe.version))


def test_runs_begin_with_the_priority_of_their_version(probe: Probe):
    probe.publish(priority=20)

    [run] = opened(probe, "17548")

    assert (run.priority, run.concurrency_key) == (20, "")
    assert states([run]) == [(RunState.READY, "")]


def test_a_very_long_key_is_shortened_and_still_tells_apart(probe: Probe):
    keyed(probe)
    probe.version.concurrency = ["party", "target", "reason"]
    one, other = ({"party": "p" * 100, "target": "t" * 100, "reason": reason} for reason in ("a", "b"))

    keys = {turns.key_from(probe.version, content) for content in (one, other)}

    assert len(keys) == 2 and all(len(key) <= turns.LONGEST_KEY for key in keys)
