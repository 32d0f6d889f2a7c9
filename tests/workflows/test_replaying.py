"""Trying the runs of a failure again: one, then five, then all, until the first fails again."""

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from auditlog.models import Entry
from opsdesk.lib import clock
from tests import factories
from tests.plugins.line import open_review_of, vote
from tests.races import at_once
from workflows import failures, replaying
from workflows.engine import failing
from workflows.errors import StepFailed
from workflows.failures import AlreadyResolved, ReasonMissing
from workflows.models import Case, Failure, FailureItem, Replay, Run
from workflows.replaying import NotCorrected, TooMany, UnderWay
from workflows.states import CaseState, FailureKind, FailureState, ReplayState, RunState, WaitsFor
from workflows.tasks import tick


@pytest.fixture
def failure(organization):
    return factories.make_failure(organization, items=8)


def begin(failure, count, by, **wish):
    return replaying.begin(failure.pk, count, by=by, reason="The period is open again.", **wish)


def runs_of(failure):
    return [item.run for item in failure.items.order_by("pk").select_related("run")]


def tried():
    return list(Run.objects.filter(state=RunState.READY).order_by("pk").values_list("pk", flat=True))


def goes_well(run):
    """As when a worker brought it over the step."""
    Run.objects.filter(pk=run.pk).update(state=RunState.READY, position=F("position") + 1)


def ends_well(run):
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, ended_at=clock.now(), wake_at=None)


def fails_again(run):
    """As when a worker met the same trouble."""
    failed = StepFailed(FailureKind.DATA, "The period is closed still.")
    Run.objects.filter(pk=run.pk).update(
        state=RunState.FAILED, ended_at=clock.now(), wake_at=None, reason=failed.message
    )
    failing.open_failure(Run.objects.get(pk=run.pk), workflow="refund", step="decide", failed=failed)


def went_well(failure, count, by):
    """A replay of so many runs that all went on."""
    replay = begin(failure, count, by)
    for run in runs_of(failure):
        if FailureItem.objects.filter(run=run, failure=failure, repaired_at=None).exists():
            replaying.go_on()
            run.refresh_from_db()
            if run.state == RunState.READY:
                ends_well(run)
    replaying.go_on()
    replay.refresh_from_db()
    assert (replay.state, replay.passed) == (ReplayState.DONE, count)
    return replay


def test_one_is_tried_and_the_next_only_after_it_went_on(failure, cast):
    _, second, *rest = runs_of(failure)
    went_well(failure, 1, cast.maya)
    begin(failure, 5, cast.maya)

    assert replaying.go_on() == 1
    assert tried() == [second.pk]
    assert replaying.go_on() == 0
    assert tried() == [second.pk]

    goes_well(second)
    assert replaying.go_on() == 1
    assert tried() == [second.pk, rest[0].pk]


def test_it_stops_at_the_first_that_fails_again(failure, cast):
    went_well(failure, 1, cast.maya)
    replay = begin(failure, 5, cast.maya)
    _, second, third, *rest = runs_of(failure)
    replaying.go_on()
    ends_well(second)
    replaying.go_on()
    fails_again(third)

    assert replaying.go_on() == 0

    replay.refresh_from_db()
    assert (replay.state, replay.passed) == (ReplayState.STOPPED, 1)
    assert replay.note == f"RUN-{third.pk} failed again: The period is closed still."
    assert tried() == []
    assert {Run.objects.get(pk=run.pk).state for run in rest} == {RunState.FAILED}
    [entry] = Entry.objects.filter(verb="workflows.replay.stopped")
    assert (entry.after["went on"], entry.reason) == (1, replay.note)


def test_the_ladder_is_climbed_rung_by_rung(failure, cast):
    assert replaying.rungs(failure) == [1]
    with pytest.raises(TooMany):
        begin(failure, 5, cast.maya)

    went_well(failure, 1, cast.maya)
    assert replaying.rungs(failure) == [1, 5]
    with pytest.raises(TooMany):
        begin(failure, 7, cast.maya)

    went_well(failure, 5, cast.maya)
    assert replaying.rungs(failure) == [1, 2]

    went_well(failure, 2, cast.maya)
    failure.refresh_from_db()
    assert failure.state == FailureState.RESOLVED
    assert replaying.rungs(failure) == []


def test_who_fell_under_it_since_sends_it_back_to_the_first_rung(failure, cast):
    went_well(failure, 1, cast.maya)
    Failure.objects.filter(pk=failure.pk).update(last_at=clock.now())
    failure.refresh_from_db()

    assert replaying.rungs(failure) == [1]


def test_a_run_that_waits_for_people_went_on(failure, cast):
    replay = begin(failure, 1, cast.maya)
    replaying.go_on()
    waits = {"waits_for": WaitsFor.REVIEW, "waiting_since": clock.now(), "reason": "Waits for Ben Marsh to decide."}
    Run.objects.filter(pk=runs_of(failure)[0].pk).update(state=RunState.WAITING, **waits)

    replaying.go_on()

    replay.refresh_from_db()
    assert replay.state == ReplayState.DONE


def test_a_run_that_cannot_go_on_holds_up_no_other(failure, cast):
    went_well(failure, 1, cast.maya)
    _, odd, next_one, *_ = runs_of(failure)
    Case.objects.filter(pk=odd.case_id).update(state=CaseState.OPEN)
    replay = begin(failure, 5, cast.maya)

    assert replaying.go_on() + replaying.go_on() == 2

    replay.refresh_from_db()
    assert (replay.refused, replay.run_id) == (1, next_one.pk)
    assert replay.note == f"RUN-{odd.pk} was not tried: This run has not failed: there is nothing to repair."


def test_what_falls_under_it_meanwhile_does_not_belong_to_it(organization, cast):
    failure = factories.make_failure(organization, items=1)
    begin(failure, 1, cast.maya)
    late = factories.make_run(factories.make_case(organization, state=CaseState.FAILED), state=RunState.FAILED)
    FailureItem.objects.create(failure=failure, run=late, detail="Late.")
    replaying.go_on()
    ends_well(runs_of(failure)[0])

    replaying.go_on()

    assert Replay.objects.get().state == ReplayState.DONE
    assert Run.objects.get(pk=late.pk).state == RunState.FAILED


def test_the_same_correction_is_made_in_each(failure, cast):
    began = begin(failure, 1, cast.maya, corrected="customer", value="17549")

    replaying.go_on()

    case = runs_of(failure)[0].case
    case.refresh_from_db()
    assert case.data["customer"] == "17549"
    assert Entry.objects.get(verb="workflows.case.corrected").reason == "The period is open again."
    assert Entry.objects.get(verb="workflows.replay.started").after == {"runs": 1, "customer": "17549"}
    assert began.corrected == "customer"


@pytest.mark.parametrize("wish", [{"corrected": "amount", "value": "1"}, {"corrected": "customer"}, {"value": "x"}])
def test_an_odd_correction_tries_nothing(failure, cast, wish):
    with pytest.raises(NotCorrected):
        begin(failure, 1, cast.maya, **wish)

    assert not Replay.objects.exists()


def test_one_at_a_time_with_a_reason_and_not_of_what_is_closed(organization, failure, cast):
    closed = factories.make_failure(organization, items=0, state=FailureState.RESOLVED)
    with pytest.raises(ReasonMissing):
        replaying.begin(failure.pk, 1, by=cast.maya, reason="  ")
    with pytest.raises(AlreadyResolved):
        begin(closed, 1, cast.maya)
    begin(failure, 1, cast.maya)

    with pytest.raises(UnderWay):
        begin(failure, 1, cast.tomasz)


def test_a_person_stops_it(failure, cast):
    begin(failure, 1, cast.maya)

    assert replaying.stop(failure.pk, by=cast.tomasz)

    assert replaying.go_on() == 0
    assert tried() == []
    assert Replay.objects.get().note == "Tomasz Kowal stopped it."
    assert not replaying.stop(failure.pk, by=cast.tomasz)


def test_who_lost_the_right_tries_nothing_more(failure, cast):
    begin(failure, 1, cast.maya)
    cast.maya.memberships.update(role="operator")

    replaying.go_on()

    assert tried() == []
    assert Replay.objects.get().note == "Maya Nowak may no longer do this: the rest was left as it is."


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_try_each_run_once():
    organization, cast = factories.make_desk()
    failure = factories.make_failure(organization, items=3)
    begin(failure, 1, cast.maya)

    at_once(*[replaying.go_on] * 4)

    assert len(tried()) == 1
    assert Entry.objects.filter(verb="workflows.run.repaired").count() == 1


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"state": "odd", "ended_at": clock.now()}, "known_state"),
        ({"state": "done"}, "ended_at_iff_ended"),
        ({"corrected": "customer"}, "value_with_its_field"),
    ],
)
def test_the_database_refuses_what_no_replay_can_be(failure, cast, changes, constraint):
    begin(failure, 1, cast.maya)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Replay.objects.update(**changes)


def test_workers_bring_it_to_its_end(line):
    """Two refunds of payments that the gateway did not know; then it does."""
    cases = [line.ask("20.00", payment=f"pi_later{number}", customer=f"3000{number}") for number in range(2)]
    for case in cases:
        line.work()
        vote(open_review_of(case), line.cast.ada)
    line.let_pass(seconds=30)
    [failure] = Failure.objects.all()
    assert failures.standing(failure.pk).count() == 2
    for number in range(2):
        line.paid(order=f"later{number}", customer=f"3000{number}")

    begin(failure, 1, line.cast.maya)
    line.work()
    tick()

    assert Replay.objects.get().state == ReplayState.DONE
    begin(failure, 1, line.cast.maya)
    line.work()
    tick()
    failure.refresh_from_db()
    assert failure.state == FailureState.RESOLVED
    assert Replay.objects.filter(state=ReplayState.DONE, passed=1).count() == 2
    line.assert_sound()
