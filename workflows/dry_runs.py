"""Dry runs: stored facts decided again by the rules of a draft. Cases are read, never written.

What the thresholds, and whoever else is asked in a decision, said at the time stands as it was recorded: a dry run
tells what the rules change. It works in short transactions, each of which also says how far it is, so that a killed
job loses nothing and the next one goes on from there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib.errands import TURN_SECONDS, take_lost, work
from workflows import rules
from workflows.checking import check_rules
from workflows.errors import Unpublishable
from workflows.models import Case, Decision, DryRun, OtherDecision, Rule, RuleSet
from workflows.registry import Demand
from workflows.states import DryRunState, Tier
from workflows.steps.decide import sentence_of, tier_of

MOST_CASES = 10_000
CHUNK = 200


@transaction.atomic
def ask(rule_set: RuleSet, *, most: int, by: User) -> DryRun:
    """A dry run of the rules over the last `most` cases that were decided, for a job of dry_run_jobs.py to work on.

    Raises Unpublishable for rules that cannot be asked.
    """
    problems = check_rules(rule_set)
    if problems:
        raise Unpublishable(" ".join(problems))
    organization_id = rule_set.workflow.organization_id
    dry_run = DryRun.objects.create(
        organization_id=organization_id,
        rule_set=rule_set,
        by=by,
        content=content_of(rule_set),
        total=_decided(rule_set)[: min(most, MOST_CASES)].count(),
    )
    record(
        "workflows.rule_set.tried",
        actor=Actor.person(by),
        organization_id=organization_id,
        subject=("rule_set", rule_set.pk),
        reason=f"Tried on the last {dry_run.total} cases.",
    )
    return dry_run


def content_of(rule_set: RuleSet) -> str:
    """Hash of everything the rules say."""
    said = [
        (rule.name, rule.match, rule.conditions, rule.effect, rule.tier) for rule in rule_set.rules.order_by("position")
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def carry_on(dry_run_id: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Work on a dry run; True when time ran out before it was finished."""
    return work(_next_chunk, dry_run_id, seconds=seconds)


def take_stale(model: Any = DryRun) -> list[int]:
    """What has lost its job, marked as asked for again; one that gets nowhere is given up. Also for other trials."""
    return take_lost(model.objects.filter(state=DryRunState.RUNNING), _give_up)


def _give_up(one: Any, note: str) -> None:
    one.move_to(DryRunState.FAILED, ended_at=Now(), note=note)


@transaction.atomic
def _next_chunk(dry_run_id: int) -> bool:
    """Decide about the next cases; False when there is nothing left, or another job is at it."""
    held = DryRun.objects.select_for_update(of=("self",), skip_locked=True).select_related("rule_set__workflow")
    dry_run = held.filter(pk=dry_run_id, state=DryRunState.RUNNING).first()
    if dry_run is None:
        return False
    if content_of(dry_run.rule_set) != dry_run.content:
        dry_run.move_to(
            DryRunState.FAILED, ended_at=Now(), note="The rules were changed meanwhile: try them again as they are now."
        )
        return False
    asked = list(dry_run.rule_set.rules.order_by("position"))
    left = dry_run.total - dry_run.looked_at
    cases = _decided(dry_run.rule_set)
    if dry_run.next_before is not None:
        cases = cases.filter(pk__lt=dry_run.next_before)
    keys = list(cases.values_list("pk", flat=True)[: min(left, CHUNK)])
    others = [other for decision in _last_decisions(dry_run, keys) if (other := _other(dry_run, asked, decision))]
    OtherDecision.objects.bulk_create(others)
    _count(dry_run, others)
    dry_run.looked_at += len(keys)
    dry_run.next_before = keys[-1] if keys else dry_run.next_before
    dry_run.save(update_fields=["looked_at", "next_before", "milder", "stricter", "moves", "money"])
    DryRun.objects.filter(pk=dry_run.pk).update(touched_at=Now(), tries=0)
    if len(keys) < CHUNK:
        dry_run.move_to(DryRunState.DONE, ended_at=Now())
    return len(keys) == CHUNK


def _decided(rule_set: RuleSet) -> "QuerySet[Case]":
    """The cases of the workflow about which was decided, newest first."""
    decisions = Decision.objects.filter(case=OuterRef("pk"), run__workflow_id=rule_set.workflow_id)
    cases = Case.objects.filter(organization_id=rule_set.workflow.organization_id)
    return cases.filter(Exists(decisions)).order_by("-pk")


def _last_decisions(dry_run: DryRun, case_keys: Sequence[int]) -> "QuerySet[Decision]":
    theirs = Decision.objects.filter(case_id__in=case_keys, run__workflow_id=dry_run.rule_set.workflow_id)
    return theirs.select_related("case").order_by("-case_id", "-pk").distinct("case_id")


def redecide(asked: Sequence[Rule], decision: Decision) -> tuple[Tier, str]:
    """Tier and sentence of a stored decision, had these rules been asked about its facts."""
    others = [demand for held in decision.trace if (demand := _not_of_rules(held)) is not None]
    demands = [*(rules.evaluate(rule, decision.facts) for rule in asked), *others]
    tier = tier_of(demands, silent=not asked or not others)
    return tier, sentence_of(tier, demands)


def _not_of_rules(held: Mapping[str, Any]) -> Demand | None:
    """A recorded demand as it was made; None where the rules made it."""
    source = str(held.get("source", ""))
    if source == "rules" or source.startswith("rule "):
        return None
    return recorded_demand(held)


def recorded_demand(held: Mapping[str, Any]) -> Demand:
    """A demand as a decision recorded it."""
    tier = Tier(held["tier"]) if held.get("tier") in Tier.values else None
    return Demand(str(held.get("source", "")), str(held.get("result", "")), str(held.get("words", "")), tier)


def _other(dry_run: DryRun, asked: Sequence[Rule], decision: Decision) -> OtherDecision | None:
    tier, sentence = redecide(asked, decision)
    if tier == decision.tier:
        return None
    case = decision.case
    return OtherDecision(
        dry_run=dry_run,
        case=case,
        decision=decision,
        before=decision.tier,
        after=tier,
        words=sentence,
        amount_minor=case.amount_minor,
        currency=case.currency,
    )


def _count(dry_run: DryRun, others: Sequence[OtherDecision]) -> None:
    """Add to the sums: cases by their way from tier to tier, money by whether it would need less or more consent."""
    moves = Counter(dry_run.moves) + Counter(f"{other.before}>{other.after}" for other in others)
    money = {currency: list(sums) for currency, sums in dry_run.money.items()}
    for other in others:
        dry_run.milder += other.is_milder
        dry_run.stricter += not other.is_milder
        if other.amount_minor is not None:
            sums = money.setdefault(other.currency, [0, 0])
            sums[0 if other.is_milder else 1] += other.amount_minor
    dry_run.moves, dry_run.money = dict(moves), money
