"""What would keep a definition from running, found before it is published and said in sentences."""

from collections.abc import Collection, Iterable
from typing import Any

from accounts.models import User
from workflows import registry, rules
from workflows.engine.fitting import NEVER_SKIPPED
from workflows.engine.turns import KEY_FIELDS
from workflows.models import Rule, RuleSet, Step, Trigger, Workflow, WorkflowVersion
from workflows.states import Tier, VersionState
from workflows.triggers import kinds

# Fields of a case that a version fills from its event.
FIELDS = ("key", "amount", "currency", "target", "party", "reason", "requested_by", "moment")
# What moving money needs to know of its case, and what its consent is about.
FIELDS_FOR_MONEY = ("amount", "currency", "target")
# A decision needs facts, and consent is given to a decision.
GOES_BEFORE = {"decide": "gather", "approve": "decide"}
# Kinds that bring facts as well as that one does.
AS_GOOD_AS = {"gather": "recall"}
MOST_RULES = 200
LONGEST_DEBOUNCE = 86_400  # seconds


def check(version: WorkflowVersion) -> list[str]:
    """What keeps a version from running; nothing means it can be published."""
    steps = list(version.steps.order_by("position"))
    triggers = list(version.triggers.order_by("position"))
    problems = [
        *_check_fields(version, steps),
        *_check_triggers(version, triggers),
        *_check_events(version, triggers),
        *_check_steps(steps),
        *_check_side_by_side(version, steps),
    ]
    published = version.workflow.rule_sets.filter(state=VersionState.PUBLISHED)
    if any(step.kind == "decide" for step in steps) and not published.exists():
        problems.append("The workflow has no published rules: publish a rule set first.")
    if any(step.kind == "approve" for step in steps):
        # Full review always: what is not known leads there by itself.
        problems += _check_tiers(version.workflow, {Tier.FULL_REVIEW, *_tiers_of(published.first())})
    for further in registry.definition_checks:
        problems += further(version)
    return problems


def check_rules(rule_set: RuleSet) -> list[str]:
    """What keeps a rule set from deciding; nothing means it can be published."""
    found = list(rule_set.rules.order_by("position"))
    names = [rule.name for rule in found]
    problems = [f"“{rule.name}”: {text}" for rule in found for text in rules.check(rule.conditions)]
    problems += [f"Two rules are named “{name}”." for name in sorted({n for n in names if names.count(n) > 1})]
    if not found:
        problems.append("A rule set needs at least one rule.")
    if len(found) > MOST_RULES:
        problems.append(f"A rule set has at most {MOST_RULES} rules.")
    return problems + _check_tiers(rule_set.workflow, _tiers_of(rule_set))


def _tiers_of(rule_set: RuleSet | None) -> set[Tier]:
    """The tiers that rules ask for."""
    if rule_set is None:
        return set()
    asking = rule_set.rules.filter(effect=Rule.Effect.AT_LEAST)
    return {Tier(tier) for tier in asking.values_list("tier", flat=True) if tier in Tier.values}


def _check_tiers(workflow: Workflow, tiers: Collection[Tier]) -> list[str]:
    return [text for why_not in registry.tier_checks for text in why_not(workflow.organization_id, tiers)]


def second_person(edition: Any, by: User | None, *, what: str = "rules") -> str:
    """Why this person may not put an edition in force: who changed it last does not, where four eyes are asked.

    The desk itself (nobody) may: it fills a new organization.
    """
    if by is None or not by.same_person_as(edition.edited_by):
        return ""
    if not edition.workflow.organization.rules_need_second_person:
        return ""
    return f"{by} changed these {what} last, so another person puts them in force."


def _check_fields(version: WorkflowVersion, steps: list[Step]) -> list[str]:
    fields = version.fields
    if not isinstance(fields, dict):
        return ["The fields are names with names: {field of the case: field of the event}."]
    problems = [f"A case has no field “{name}”: it has {', '.join(FIELDS)}." for name in fields if name not in FIELDS]
    problems += [
        f"The field “{name}” must name a field of the event."
        for name, source in fields.items()
        if not isinstance(source, str) or not source.strip()
    ]
    needed = ("key", *(FIELDS_FOR_MONEY if any(map(_moves_money, steps)) else ()))
    return problems + [f"The fields do not say where “{name}” comes from." for name in needed if name not in fields]


def _check_triggers(version: WorkflowVersion, triggers: list[Trigger]) -> list[str]:
    """Something begins it, each trigger can fire, and what a trigger says fills the fields of a case."""
    if not version.opened_by.strip() and not triggers:
        return ["Nothing begins it: name an event type that opens a case, or a trigger."]
    problems = []
    for trigger in triggers:
        found = kinds.check(trigger.kind, trigger.config)
        brings = None if found else kinds.KINDS[trigger.kind].brings(trigger.config)
        if brings is not None and isinstance(version.fields, dict):
            needed = {name: source for name, source in version.fields.items() if name in ("key", *FIELDS_FOR_MONEY)}
            found = [f"it does not say “{source}”, the {name} of a case." for name, source in needed.items()
                     if source not in brings]  # fmt: skip
        problems += [f"Trigger {trigger.key}: {text}" for text in found]
    return problems


def _opening_types(version: WorkflowVersion, triggers: Iterable[Trigger]) -> set[str]:
    types = {trigger.config.get("type") for trigger in triggers
             if trigger.kind == Trigger.Kind.EVENT and isinstance(trigger.config, dict)}  # fmt: skip
    return {kind for kind in (version.opened_by, *types) if isinstance(kind, str) and kind}


def _check_events(version: WorkflowVersion, triggers: list[Trigger]) -> list[str]:
    """An event type must have one meaning in an organization, or an arriving event could not be told apart."""
    problems = []
    opening = _opening_types(version, triggers)
    if version.withdrawn_by in opening:
        problems.append(f"“{version.withdrawn_by}” cannot both open and withdraw a case.")
    if version.opened_by and version.opened_by in _opening_types(WorkflowVersion(), triggers):
        problems.append(f"“{version.opened_by}” opens every case already: no trigger of that type would be asked.")
    others = WorkflowVersion.objects.filter(
        state=VersionState.PUBLISHED, workflow__organization_id=version.workflow.organization_id
    ).exclude(workflow_id=version.workflow_id)
    for other in others.select_related("workflow").prefetch_related("triggers"):
        theirs = {*_opening_types(other, other.triggers.all()), other.withdrawn_by}
        taken = theirs & {*opening, version.withdrawn_by} - {""}
        problems += [f"“{event_type}” is taken by the workflow {other.workflow}." for event_type in sorted(taken)]
        if other.case_kind == version.case_kind:
            problems.append(f"Cases of the kind “{version.case_kind}” belong to the workflow {other.workflow}.")
    return problems


def _check_side_by_side(version: WorkflowVersion, steps: list[Step]) -> list[str]:
    """How urgent runs are, and which of them go on beside each other."""
    fields = version.concurrency
    if not isinstance(fields, list) or len(set(map(str, fields))) < len(fields):
        return ["The concurrency is a list of different fields of the case."]
    problems = [
        f"One at a time goes by {', '.join(KEY_FIELDS)}; “{name}” is not one of them."
        for name in fields
        if name not in KEY_FIELDS
    ]
    problems += [
        f"One at a time goes by “{name}”, but the fields do not say where it comes from."
        for name in fields
        if name in KEY_FIELDS and isinstance(version.fields, dict) and name not in version.fields
    ]
    if not 1 <= version.priority <= 100:
        problems.append("The priority is a number from 1 to 100.")
    if version.debounce_seconds and not fields:
        problems.append("To take openings as one, the concurrency must say which fields make them the same.")
    if version.debounce_seconds > LONGEST_DEBOUNCE:
        problems.append(f"Openings are taken as one for at most {LONGEST_DEBOUNCE:,} seconds.")
    if version.debounce_seconds and any(map(_moves_money, steps)):
        problems.append("A workflow that moves money looks at every request: it cannot take several as one.")
    return problems


def _check_steps(steps: list[Step]) -> list[str]:
    problems: list[str] = []
    passed: set[str] = set()
    for step in steps:
        problems += [f"Step {step.key}: {text}" for text in [*_check_step(step, passed), *_check_when(step, passed)]]
        if not step.when:  # what may be left out is nothing to rely on
            passed.add(step.kind)
    moving = [step for step in steps if _moves_money(step)]
    if len(moving) > 1 and not all(step.when for step in moving):
        keys = ", ".join(step.key for step in moving)
        problems.append(f"Consent is for one movement of money, and {keys} each are one: give each its condition.")
    return problems if steps else ["A workflow needs at least one step."]


def _check_when(step: Step, passed: set[str]) -> list[str]:
    """What is wrong with the condition under which a step is done; see workflows/engine/conditions.py."""
    if step.when in ([], None):
        return []
    if step.kind in NEVER_SKIPPED:
        return [f"{step.kind} carries no condition: consent is never left out for a fact."]
    problems = [f"its condition: {text}" for text in rules.check(step.when)]
    if "gather" not in passed:
        problems.append("its condition needs facts, so a step of the kind gather goes before it.")
    return problems


def _check_step(step: Step, passed: set[str]) -> list[str]:
    kind = registry.step_kinds.get(step.kind)
    if kind is None:
        return [f"there is no step kind “{step.kind}”; there is {', '.join(sorted(registry.step_kinds))}."]
    if not isinstance(step.config, dict):
        return ["the settings are names with values."]
    needed = "approve" if registry.moves_money(step.kind, step.config) else GOES_BEFORE.get(step.kind, "")
    lacking = bool(needed) and not passed & {needed, AS_GOOD_AS.get(needed, needed)}
    missing = [f"{step.kind} needs a step of the kind {needed} before it."] if lacking else []
    return [*kind.check(step.config), *missing]


def _moves_money(step: Step) -> bool:
    return registry.moves_money(step.kind, step.config if isinstance(step.config, dict) else {})
