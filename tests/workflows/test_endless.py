"""A step that never ends: its worker is interrupted, and its run parked after three tries, while the others go on."""

from collections import Counter

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tests.workflows.conftest import Probe
from workflows.engine.outcomes import Done
from workflows.engine.repairing import MOST_LOST_LEASES
from workflows.engine.running import LEASE
from workflows.models import Failure, Run, StepRun
from workflows.states import FailureKind
from workflows.tasks import tick


def test_a_worker_is_interrupted_before_its_lease_ends():
    assert tick.soft_time_limit < tick.time_limit < LEASE.total_seconds()


@pytest.mark.parametrize("where", ["perform", "fetch"])
def test_what_comes_to_no_end_is_parked_after_three_tries_and_takes_nobody_along(probe: Probe, where: str):
    runs = probe.runs(6)
    endless, tries = runs[3].pk, Counter[int]()

    def perform(context):
        tries[context.run.pk] += 1
        if where == "perform" and context.run.pk == endless:
            raise SoftTimeLimitExceeded  # what Celery raises in the midst of it
        return Done()

    def fetch(contexts):
        if where == "fetch" and endless in [context.run.pk for context in contexts]:
            tries[endless] += 1
            raise SoftTimeLimitExceeded

    probe.outside.scripts["first"] = perform
    probe.outside.fetches = fetch

    counted = []
    for _ in range(MOST_LOST_LEASES + 1):
        tick()
        counted.append(Run.objects.get(pk=endless).lost_leases)

    stopped = Run.objects.get(pk=endless)
    assert counted == [1, 2, 3, 3]
    assert tries[endless] == MOST_LOST_LEASES
    assert (stopped.state, stopped.reason) == (
        "failed",
        "The worker died or came to no end 3 times at the step first: look before trying again.",
    )
    assert Failure.objects.get().kind == FailureKind.DEFECT
    others = Run.objects.exclude(pk=endless)
    assert set(others.values_list("state", "lost_leases")) == {("succeeded", 0)}
    assert StepRun.objects.filter(run__in=others).count() == 2 * len(runs[1:])


def test_one_that_breaks_beside_it_is_still_looked_at_alone(probe: Probe):
    broken, endless, sound = probe.runs(3)

    def perform(context):
        if context.run.pk == broken.pk:
            raise ValueError("Nobody planned for this.")
        if context.run.pk == endless.pk:
            raise SoftTimeLimitExceeded
        return Done()

    probe.outside.scripts["first"] = perform

    for _ in range(MOST_LOST_LEASES + 1):
        tick()

    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {broken.pk: "failed", endless.pk: "failed", sound.pk: "succeeded"}
    assert Failure.objects.count() == 2
