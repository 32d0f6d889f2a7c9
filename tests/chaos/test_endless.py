"""A step that never ends, in a real worker with its real time limit: parked after three tries. Long test."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from opsdesk.embedded.addresses import ROOT
from tests.chaos.brokers import own_broker
from tests.factories import make_case
from tests.workflows.conftest import Probe, committed_probe, probe  # noqa: F401 - fixtures
from workflows.engine.repairing import MOST_LOST_LEASES
from workflows.models import Failure, Run, StepRun

pytestmark = pytest.mark.long
POISON, GOOD = "poison", 100
DONE_WITHIN, PARKED_WITHIN = 60.0, 400.0
WORKER = (
    *("-m", "celery", "--quiet", "--app", "tests.chaos.poisonous", "worker", "--beat", "--concurrency", "2"),
    *("--scheduler", "celery.beat:Scheduler", "--without-mingle", "--without-gossip", "--loglevel", "INFO"),
)


@contextmanager
def worker(log: Path, **environment: str) -> Iterator[None]:
    """A worker with its beat until the end of the block; what it is in the midst of is not waited for."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *WORKER], cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait(30)


def seconds_until(true: Callable[[], bool], *, at_most: float, log: Path) -> float:
    """How long it took until something held."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < at_most, log.read_text()[-4_000:]
        time.sleep(0.2)
    return time.monotonic() - began


def test_a_step_that_never_ends_is_parked_and_the_others_go_on(
    committed_probe: Probe,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    probe, log = committed_probe, tmp_path / "worker.log"  # noqa: F811
    good = [run.pk for run in probe.runs(GOOD // 2)]
    poison = probe.run(make_case(probe.organization, key=POISON))
    good += [run.pk for run in probe.runs(GOOD // 2)]
    done = Run.objects.filter(pk__in=good, state="succeeded")

    with own_broker(tmp_path / "broker") as broker:
        name = str(connection.settings_dict["NAME"])
        with worker(log, OPSDESK_TEST_DATABASE=name, **broker.urls()):
            seconds_until(done.exists, at_most=120, log=log)
            took = seconds_until(lambda: done.count() == GOOD, at_most=PARKED_WITHIN, log=log)
            parked = Run.objects.filter(pk=poison.pk, state="failed")
            lasted = took + seconds_until(parked.exists, at_most=PARKED_WITHIN, log=log)

    print(f"{GOOD} of {GOOD} were done {took:.0f} s after the first; what never ends was parked after {lasted:.0f} s")
    assert took < DONE_WITHIN
    poison.refresh_from_db()
    assert poison.lost_leases == MOST_LOST_LEASES
    assert "came to no end 3 times at the step first" in Failure.objects.get().message
    assert StepRun.objects.filter(run__in=good).count() == 2 * GOOD
    assert not StepRun.objects.filter(run=poison).exists()
