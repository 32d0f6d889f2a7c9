"""The step kind `decide`: rules and thresholds give a tier, the strictest wins, what is not known goes to people."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflows import registry, rules
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome
from workflows.errors import StepFailed
from workflows.models import Decision, RuleSet
from workflows.registry import Demand, Demands
from workflows.states import FailureKind, Tier, VersionState


class Decide:
    """Asks every rule and every other source of demands, stores the decision with its trace, and goes on."""

    name = "decide"
    asks_outside = False
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Nothing to set: the published rules and thresholds decide."""
        return [f"decide has no setting “{name}”." for name in config]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """Deciding asks nobody."""

    def perform(self, context: RunContext) -> Outcome:
        """Store the decision. Raises StepFailed (data) when the request itself is not sound."""
        case, run = context.case, context.run
        if case.problems or case.amount is None:
            raise StepFailed(FailureKind.DATA, " ".join(case.problems) or "The request has no amount.")
        rule_set = context.batch.remember(("rules", run.workflow_id), lambda: published_rules(run.workflow_id))
        asked = [source(context) for source in registry.demand_sources]
        demands = [
            *_of_rules(rule_set, run.facts).demands,
            *(demand for each in asked for demand in each.demands),
            *_of_skipped(run.skipped),
        ]
        tier = tier_of(demands, silent=rule_set is None or not asked)
        edition = ", ".join(each.edition for each in asked if each.edition)
        sentence = sentence_of(tier, demands)
        decision = context.batch.add(
            Decision(
                organization_id=run.organization_id,
                case=case,
                run=run,
                tier=tier,
                facts=run.facts,
                trace=[_as_data(demand) for demand in demands],
                sentence=sentence,
                rule_set=rule_set,
                policy=edition[:60],
                content_hash=case.content_hash(run.facts),
            )
        )
        context.decision = decision
        context.record(
            "workflows.run.decided",
            subject=decision,
            after={"tier": tier, "rules": str(rule_set or "none"), "policy": edition},
            reason=sentence,
        )
        return Done(sentence)


def published_rules(workflow_id: int) -> RuleSet | None:
    """The workflow's rules in force, with the rules loaded."""
    published = RuleSet.objects.filter(workflow_id=workflow_id, state=VersionState.PUBLISHED)
    return published.prefetch_related("rules").select_related("workflow").first()


def _of_rules(rule_set: RuleSet | None, facts: Mapping[str, Any]) -> Demands:
    if rule_set is None:
        nobody = Demand("rules", "undetermined", "No rules are published, so a person decides", Tier.FULL_REVIEW)
        return Demands("no rules", (nobody,))
    return Demands(str(rule_set), tuple(rules.evaluate(rule, facts) for rule in rule_set.rules.all()))


def _of_skipped(skipped: Sequence[Mapping[str, str]]) -> list[Demand]:
    """Whoever leaves a step out cannot lower what is asked: people look at the whole case."""
    return [
        Demand("controls", "hit", f"{each['by']} skipped the step {each['step']} ({each['reason']})", Tier.FULL_REVIEW)
        for each in skipped
    ]


def tier_of(demands: Sequence[Demand], *, silent: bool) -> Tier:
    asked = [demand.tier for demand in demands if demand.tier is not None]
    return Tier.FULL_REVIEW if silent else Tier.strictest(asked)


def sentence_of(tier: Tier, demands: Sequence[Demand]) -> str:
    """The decision in words, the demand that decides first."""
    deciding = [demand.words for demand in demands if demand.tier == tier]
    because = "; ".join(deciding[:3]) or "nothing allows less"
    return f"{tier.label.capitalize()}: {because}."


def _as_data(demand: Demand) -> dict[str, Any]:
    return {
        "source": demand.source,
        "result": demand.result,
        "words": demand.words,
        "tier": demand.tier,
        "facts": list(demand.facts),
    }
