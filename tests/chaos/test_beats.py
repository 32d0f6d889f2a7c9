"""Two beats, as when one is started on a second machine by mistake: nothing is done twice. And none for ten minutes."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core import mail
from django.db.models import Count
from django.db.models.functions import Now

from approvals.models import Review
from approvals.states import ReviewState
from auditlog.models import Entry
from integrations.models import Notice
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch import watchdog
from tests.chaos import ordinary, outcome
from tests.chaos.ordinary import FAST_TRACK, FULL_REVIEW, INSTANT
from tests.chaos.whole_desk import WholeDesk
from tests.factories import at
from tests.plugins.line import Line, pass_time, vote
from tests.races import round_by_round
from workflows.models import Alert, Case, Run, StepRun

# Paid at once, leaving by the clock, put before people: two of each.
AMOUNTS = ("20.00", "80.00", "200.00") * 2
ROUNDS = 6


def ring_twice(tasks: list[Callable[[], Any]]) -> None:
    """What two beats ring, heard by two workers at the same moments."""

    def ring(number: int) -> None:
        for task in tasks:
            task()

    for results in round_by_round([ring, ring], ROUNDS):
        assert not [each for each in results if isinstance(each, Exception)]


def test_what_two_beats_ring_is_done_once(committed_line: Line) -> None:
    line = committed_line
    for number, amount in enumerate(AMOUNTS):
        customer = f"customer{number}"
        line.hear("refund.requested", line.request(line.paid(customer=customer), amount, customer=customer))
    # Every task that beat rings, the watchdog among them; all are due at the same moment.
    current_app.loader.import_default_modules()
    tasks = [current_app.tasks[entry["task"]] for entry in current_app.conf.beat_schedule.values()]

    ring_twice(tasks)
    for review in Review.objects.filter(state=ReviewState.OPEN, tier="full_review"):
        vote(review, line.cast.ben)
    pass_time(timedelta(days=4))
    ring_twice(tasks)

    assert Counter(Case.objects.values_list("state", flat=True)) == {"done": len(AMOUNTS)}
    assert Counter(effect["amount"] for effect in line.refunds()) == {2_000: 2, 8_000: 2, 20_000: 2}
    assert Run.objects.count() == len(AMOUNTS)
    steps = StepRun.objects.filter(outcome="done").values("run", "key").annotate(times=Count("pk"))
    assert {step["times"] for step in steps} == {1}
    finished = Entry.objects.filter(verb="workflows.case.finished").values("case_id").annotate(times=Count("pk"))
    assert [entry["times"] for entry in finished] == [1] * len(AMOUNTS)
    mails = Notice.objects.filter(channel=Notice.Channel.MAIL)
    assert mails.exists() and len(mail.outbox) == mails.count()
    line.assert_sound()


def let_heartbeats_age(by: timedelta) -> None:
    """What was seen was seen so much longer ago."""
    for row in Heartbeat.objects.all():
        at(row, started_at=row.started_at - by, last_seen_at=row.last_seen_at - by)


def test_ten_minutes_without_beat_are_told_and_made_up_for_once(line: Line) -> None:
    leaving = [line.ask("80.00", order=line.paid(customer=name), customer=name) for name in ("c1", "c2", "c3")]
    deciding = [line.ask("200.00", order=line.paid(customer=name), customer=name) for name in ("c4", "c5", "c6")]
    line.work()
    line.post()
    for review in Review.objects.filter(state=ReviewState.OPEN, tier="full_review"):
        vote(review, line.cast.ben)
    # They would leave in the midst of it.
    Review.objects.filter(case__in=leaving).update(objection_ends_at=Now() + timedelta(minutes=5))
    for kind, name in ((HeartbeatKind.WATCHDOG, watchdog.NAME), (HeartbeatKind.BEAT, "work-1:1")):
        Heartbeat.objects.create(kind=kind, name=name)

    # Nobody rings; only a web process still looks.
    alerts = []
    for _ in range(10):
        pass_time(timedelta(minutes=1))
        let_heartbeats_age(timedelta(minutes=1))
        watchdog.look()
        alerts.append(Alert.objects.filter(kind="beat_stopped", cleared_at=None).count())

    assert (alerts[2], alerts[-1], Alert.objects.filter(kind="beat_stopped").count()) == (1, 1, 1)
    assert not Case.objects.filter(state="done").exists()
    for _ in range(3):
        line.work()
    assert Counter(Case.objects.values_list("state", flat=True)) == {"done": len(leaving + deciding)}
    assert Counter(effect["amount"] for effect in line.refunds()) == {8_000: 3, 20_000: 3}
    line.assert_sound()


BEATS = "SELECT count(*) FROM opsdesk_heartbeat WHERE kind = 'beat' AND last_seen_at > now() - interval '30 s'"
BEAT = ("-m", "celery", "--quiet", "--app", "opsdesk", "beat", "--scheduler", "celery.beat:Scheduler")


@pytest.mark.long
def test_a_desk_with_two_beats_does_nothing_twice(tmp_path: Path) -> None:
    kinds = (INSTANT, FAST_TRACK, INSTANT, FULL_REVIEW)
    with WholeDesk(tmp_path) as desk:
        desk.run("-m", "tests.chaos.ordinary", "40", log=tmp_path / "ordinary.log")
        desk.let_windows_end()
        second = desk.spawn(*BEAT, log=tmp_path / "beat.log")
        try:
            desk.wait_until(lambda: desk.number(BEATS) == 2, "the second beat never rang", seconds=120)
            for number in range(40):
                request = ordinary.request_for(number, kinds[number % 4], at=datetime.now(UTC))
                assert desk.shop.deliver(request).status == 202
            desk.come_to_rest(seconds=180)
            assert desk.number(BEATS) == 2
        finally:
            second.terminate()
            assert second.wait(30) == 0
        ends = outcome.assert_every_case_came_to_rest(desk, requests=40)
        assert ends == {"done": 30, "waits for a named person": 10}
        assert outcome.assert_effects_fit(desk) == 30
        twice = (
            "SELECT run_id, key FROM workflows_steprun WHERE outcome = 'done' GROUP BY run_id, key HAVING count(*) > 1"
        )
        assert desk.rows(twice) == []
        outcome.assert_invariants_hold(desk, tmp_path)
