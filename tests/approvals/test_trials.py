"""Trials of thresholds: past cases placed into the bands of a draft, told in sums and the worst first."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from approvals import trials
from approvals.drafting import Limits, move_limits
from approvals.models import Policy, Threshold, Trial
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from opsdesk.lib import clock, errands
from tests import factories
from tests.approvals.thresholds import make_flip, make_trial
from workflows.errors import Unpublishable
from workflows.models import Case
from workflows.states import DryRunState, RunState, Tier

pytestmark = pytest.mark.django_db
RULE = {"source": "rule 1", "result": "hit", "words": "No order on file", "tier": "full_review"}


@pytest.fixture
def pushed(monkeypatch) -> list[int]:
    asked: list[int] = []
    monkeypatch.setattr(errands, "push", lambda name, job, key: asked.append(key))
    return asked


@pytest.fixture
def desk(pushed):
    """An organization whose draft lets up to £120 out at once; in force it is £50, then £100."""
    organization, cast = factories.make_desk()
    workflow = factories.published_version(organization).workflow
    move_limits(
        workflow, currency="GBP", scope=("", "", ""), limits=Limits(12_000, 15_000), by=cast.tomasz, reason="Try"
    )
    return organization, cast, Policy.objects.get(state="draft")


@pytest.fixture
def decided(desk):
    """Makes a case about which was decided, and what became of it."""

    def make(amount, tier, *, outcome="", by=None, at=None, **fields):
        case = factories.make_case(desk[0], amount=amount, **fields)
        review = factories.make_review(case, tier=tier)
        if outcome:
            verdict = Verdict.REJECT if outcome == ReviewState.REJECTED else Verdict.APPROVE
            factories.make_vote(review, by, verdict, cast_at=at)
            deciding = ReviewState.REJECTING if verdict == Verdict.REJECT else ReviewState.APPROVING
            with transaction.atomic():
                review.move_to(deciding, settles_at=at)
                review.move_to(outcome, closed_at=at)
        if outcome == "approved":
            factories.make_authorization(review.run, source="people")
        return case

    return make


def look(desk, *, most=100) -> Trial:
    trial = trials.ask(desk[2], most=most, by=desk[1].tomasz)
    assert trials.carry_on(trial.pk) is False
    trial.refresh_from_db()
    return trial


def test_a_trial_counts_what_would_be_automatic_and_what_people_thought_of_it(desk, decided, pushed):
    ada = desk[1].ada
    start = clock.now() - timedelta(hours=1)
    wrong = decided("110.00", Tier.FULL_REVIEW, outcome="rejected", by=ada, at=start)
    right = decided("105.00", Tier.FULL_REVIEW, outcome="approved", by=ada, at=start + timedelta(minutes=4))
    decided("500.00", Tier.FULL_REVIEW, outcome="approved", by=ada, at=start + timedelta(minutes=10))
    decided("40.00", Tier.INSTANT)
    waiting = decided("80.00", Tier.FAST_TRACK)
    before = list(Case.objects.order_by("pk").values())

    trial = look(desk)

    assert (trial.state, trial.total, trial.looked_at, trial.automatic) == (DryRunState.DONE, 5, 5, 3)
    assert trial.moves == {"full_review>instant": 2, "fast_track>instant": 1}
    assert trial.money == {"GBP": [29_500, 0]}
    assert trial.excess == {"GBP": [1, 11_000]}
    # The two votes took 4 and 6 minutes after the one before: 5 each.
    assert (trial.votes, trial.vote_seconds, trial.seconds_saved) == (2, 300, 600)
    worst = list(trial.flips.order_by("-excess_minor", "-amount_minor"))
    assert [(flip.case, flip.outcome, flip.excess_minor) for flip in worst] == [
        (wrong, "rejected", 11_000), (right, "paid", 0), (waiting, "open", 0),
    ]  # fmt: skip
    assert "within the limit of £120.00 for instant" in worst[0].words
    assert list(Case.objects.order_by("pk").values()) == before
    assert Entry.objects.filter(verb="approvals.policy.tried", user=desk[1].tomasz).count() == 1


def test_what_the_rules_said_stands(desk):
    case = factories.make_case(desk[0], amount="110.00")
    run = factories.make_run(case, state=RunState.SUCCEEDED)
    thresholds = {"source": "thresholds", "result": "hit", "words": "Above", "tier": "full_review"}
    factories.make_decision(run, tier=Tier.FULL_REVIEW, trace=[RULE, thresholds])

    assert look(desk).flips.count() == 0


def test_a_trial_goes_on_where_a_killed_job_left_it(desk, decided, monkeypatch):
    monkeypatch.setattr(trials, "CHUNK", 2)
    for _ in range(5):
        decided("110.00", Tier.FULL_REVIEW)
    trial = trials.ask(desk[2], by=desk[1].tomasz)

    assert trials._next_chunk(trial.pk) is True
    decided("110.00", Tier.FULL_REVIEW)  # came later: not asked for
    assert trials.carry_on(trial.pk) is False

    trial.refresh_from_db()
    assert (trial.looked_at, trial.flips.count()) == (5, 5)


def test_a_lost_job_is_asked_for_again_and_given_up_at_last(desk, pushed):
    trial = trials.ask(desk[2], by=desk[1].tomasz)
    for _ in range(errands.MOST_TRIES + 1):
        Trial.objects.filter(pk=trial.pk).update(touched_at=clock.now() - timedelta(minutes=1))
        trials.wake_stale()

    trial.refresh_from_db()
    assert pushed.count(trial.pk) == errands.MOST_TRIES
    assert trial.state == DryRunState.FAILED
    assert "No job got on with it" in trial.note


def test_a_draft_that_is_changed_meanwhile_ends_its_trial(desk, decided):
    decided("110.00", Tier.FULL_REVIEW)
    trial = trials.ask(desk[2], by=desk[1].tomasz)
    Threshold.objects.filter(policy=desk[2], tier=Tier.FAST_TRACK).update(above_minor=11_000)

    trials.carry_on(trial.pk)

    trial.refresh_from_db()
    assert (trial.state, trial.flips.count()) == (DryRunState.FAILED, 0)


def test_thresholds_that_cannot_be_asked_are_not_tried(desk):
    Threshold.objects.filter(policy=desk[2], above_minor=0).delete()

    with pytest.raises(Unpublishable):
        trials.ask(desk[2], by=desk[1].tomasz)

    assert not Trial.objects.exists()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"after": "full_review"}, "approvals_flip_is_another"),
        ({"excess_minor": 10**9}, "approvals_flip_excess_within_amount"),
    ],
)
def test_the_database_keeps_flips_sound(desk, decided, fields, constraint):
    case = decided("110.00", Tier.FULL_REVIEW)
    trial = make_trial(desk[0], by=desk[1].tomasz)

    with pytest.raises(IntegrityError, match=constraint):
        make_flip(trial, case, **fields)


def test_a_running_trial_has_no_end(desk):
    with pytest.raises(IntegrityError, match="approvals_trial_ended_at_unless_running"):
        make_trial(desk[0], by=desk[1].tomasz, ended_at=None)
