"""Trials of thresholds: stored cases placed into the bands of a draft. Cases are read, never written.

What the rules said at the time stands as it was recorded: a trial tells what the thresholds change. It works in short
transactions, each of which also says how far it is, so that a killed job loses nothing and the next goes on from there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Window
from django.db.models.functions import Lag, Now

from accounts.models import User
from approvals.bands import BandTable
from approvals.models import Flip, Policy, Review, Trial, Vote
from approvals.policies import check_policy
from approvals.states import ReviewState
from auditlog.services import Actor, record
from opsdesk.lib.errands import TURN_SECONDS, Errand, work
from workflows.dry_runs import recorded_demand, take_stale
from workflows.errors import Unpublishable
from workflows.models import Authorization, Case, Decision
from workflows.states import DryRunState, Tier
from workflows.steps.decide import sentence_of, tier_of

MOST_CASES = 10_000
CHUNK = 200
# Of so many last votes the time each took is measured: since the vote before it of the same person.
MOST_VOTES = 2_000
# A longer pause between two votes was spent on something else.
LONGEST_VOTE = timedelta(minutes=15)

_ERRAND = Errand("trial", "approvals.trials.carry")


@transaction.atomic
def ask(policy: Policy, *, by: User, most: int = MOST_CASES) -> Trial:
    """A trial of thresholds over the last `most` cases that were decided, and a job for it.

    Raises Unpublishable for thresholds that cannot be asked.
    """
    problems = check_policy(policy)
    if problems:
        raise Unpublishable(" ".join(problems))
    organization_id = policy.workflow.organization_id
    trial = Trial.objects.create(
        organization_id=organization_id,
        policy=policy,
        by=by,
        content=content_of(policy),
        total=_decided(policy)[: min(most, MOST_CASES)].count(),
    )
    record(
        "approvals.policy.tried",
        actor=Actor.person(by),
        organization_id=organization_id,
        subject=("policy", policy.pk),
        reason=f"Tried on the last {trial.total} cases.",
    )
    _ERRAND.enqueue(trial.pk)
    return trial


def content_of(policy: Policy) -> str:
    """Hash of everything the bands say."""
    rows = policy.thresholds.order_by("currency", "reason", "segment", "channel", "above_minor")
    said = list(rows.values_list("currency", "reason", "segment", "channel", "above_minor", "tier"))
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def carry(trial_id: int) -> str:
    """The job: work on a trial for a while, and queue up again behind others when something is left."""
    return _ERRAND.carry(trial_id, carry_on)


def wake_stale() -> int:
    """Ask again for trials on which no job has worked for a while."""
    return _ERRAND.wake(take_stale(Trial))


def carry_on(trial_id: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Work on a trial; True when time ran out before it was finished."""
    return work(_next_chunk, trial_id, seconds=seconds)


@transaction.atomic
def _next_chunk(trial_id: int) -> bool:
    """Place the next cases; False when there is nothing left, or another job is at it."""
    held = Trial.objects.select_for_update(of=("self",), skip_locked=True).select_related("policy__workflow")
    trial = held.filter(pk=trial_id, state=DryRunState.RUNNING).first()
    if trial is None:
        return False
    if content_of(trial.policy) != trial.content:
        note = "The thresholds were changed meanwhile: try them again as they are now."
        trial.move_to(DryRunState.FAILED, ended_at=Now(), note=note)
        return False
    left = trial.total - trial.looked_at
    cases = _decided(trial.policy)
    if trial.next_before is not None:
        cases = cases.filter(pk__lt=trial.next_before)
    keys = list(cases.values_list("pk", flat=True)[: min(left, CHUNK)])
    _count(trial, _flips(trial, _last_decisions(trial, keys)))
    trial.looked_at += len(keys)
    trial.next_before = keys[-1] if keys else trial.next_before
    trial.save(update_fields=["looked_at", "next_before", "moves", "money", "excess", "votes"])
    Trial.objects.filter(pk=trial.pk).update(touched_at=Now(), tries=0)
    if len(keys) < CHUNK:
        trial.move_to(DryRunState.DONE, ended_at=Now(), vote_seconds=seconds_a_vote(trial.organization_id))
    return len(keys) == CHUNK


def _decided(policy: Policy) -> "QuerySet[Case]":
    """The cases of the workflow about which was decided and that name an amount, newest first."""
    decisions = Decision.objects.filter(case=OuterRef("pk"), run__workflow_id=policy.workflow_id)
    cases = Case.objects.filter(organization_id=policy.workflow.organization_id, amount_minor__isnull=False)
    return cases.filter(Exists(decisions)).order_by("-pk")


def _last_decisions(trial: Trial, case_keys: Sequence[int]) -> "QuerySet[Decision]":
    theirs = Decision.objects.filter(case_id__in=case_keys, run__workflow_id=trial.policy.workflow_id)
    return theirs.select_related("case").order_by("-case_id", "-pk").distinct("case_id")


def redecide(table: BandTable, decision: Decision) -> tuple[Tier, str]:
    """Tier and sentence of a stored decision, had these thresholds been asked about its case."""
    others = [recorded_demand(held) for held in decision.trace if held.get("source") != "thresholds"]
    demands = [*others, table.demand(decision.case)]
    tier = tier_of(demands, silent=False)
    return tier, sentence_of(tier, demands)


def _flips(trial: Trial, decisions: "QuerySet[Decision]") -> list[Flip]:
    """The cases among these that would have gone another way, with what became of them; stored."""
    table = BandTable(trial.policy.thresholds.all())
    found = []
    for decision in decisions:
        tier, sentence = redecide(table, decision)
        if tier != decision.tier:
            found.append((decision, tier, sentence))
    outcomes = _outcomes([decision for decision, _, _ in found])
    flips = [
        Flip(
            trial=trial,
            case=decision.case,
            decision=decision,
            before=decision.tier,
            after=tier,
            words=sentence,
            amount_minor=decision.case.amount_minor or 0,
            currency=decision.case.currency,
            outcome=outcomes[decision.pk][0],
            excess_minor=outcomes[decision.pk][1] if tier == Tier.INSTANT else 0,
        )
        for decision, tier, sentence in found
    ]
    return Flip.objects.bulk_create(flips)


def _outcomes(decisions: Sequence[Decision]) -> dict[int, tuple[Flip.Outcome, int]]:
    """By decision: what became of its case, and how much less than was asked for people let go out."""
    keys = [decision.pk for decision in decisions]
    granted = dict(Authorization.objects.filter(decision_id__in=keys).values_list("decision_id", "amount_minor"))
    rejected = set(
        Review.objects.filter(decision_id__in=keys, state=ReviewState.REJECTED).values_list("decision_id", flat=True)
    )
    found = {}
    for decision in decisions:
        asked = decision.case.amount_minor or 0
        less = max(asked - granted.get(decision.pk, 0), 0)
        if decision.pk in rejected:
            found[decision.pk] = (Flip.Outcome.REJECTED, asked)
        elif decision.pk not in granted:
            found[decision.pk] = (Flip.Outcome.OPEN, 0)
        else:
            found[decision.pk] = (Flip.Outcome.LESS if less else Flip.Outcome.PAID, less)
    return found


def _count(trial: Trial, flips: Sequence[Flip]) -> None:
    """Add to the sums: cases by their way from tier to tier, money, mistakes, and votes that would not be needed."""
    trial.moves = dict(Counter(trial.moves) + Counter(f"{flip.before}>{flip.after}" for flip in flips))
    money: dict[str, Any] = {currency: list(sums) for currency, sums in trial.money.items()}
    excess: dict[str, Any] = {currency: list(sums) for currency, sums in trial.excess.items()}
    for flip in flips:
        if Tier.INSTANT in (flip.before, flip.after):
            sums = money.setdefault(flip.currency, [0, 0])
            sums[0 if flip.after == Tier.INSTANT else 1] += flip.amount_minor
        if flip.excess_minor:
            sums = excess.setdefault(flip.currency, [0, 0])
            sums[0] += 1
            sums[1] += flip.excess_minor
    trial.money, trial.excess = money, excess
    freed = [flip.decision_id for flip in flips if flip.after == Tier.INSTANT]
    trial.votes += Vote.objects.filter(review__decision_id__in=freed, withdrawn_at=None).count()


def seconds_a_vote(organization_id: int) -> int | None:
    """What one vote takes people: the middle of the times since the vote before it; None where none was measured."""
    last = Vote.objects.filter(review__organization_id=organization_id).order_by("-pk")[:MOST_VOTES]
    before = Window(Lag("cast_at"), partition_by="voter", order_by="cast_at")
    rows = Vote.objects.filter(pk__in=last.values("pk")).annotate(before=before).values_list("cast_at", "before")
    spans = [at - earlier for at, earlier in rows if earlier is not None and at - earlier <= LONGEST_VOTE]
    return round(median(span.total_seconds() for span in spans)) if spans else None
