"""Definitions on their way: drafts that can be edited, and published editions that are frozen and decide.

Of each workflow at most one version and one rule set is published. Runs keep the version they began with.
"""

from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from opsdesk.lib.states import Movable
from workflows import registry, rules
from workflows.errors import NotADraft, Unpublishable
from workflows.models import RuleSet, Step, Workflow, WorkflowVersion
from workflows.states import VersionState

Edition = TypeVar("Edition", WorkflowVersion, RuleSet)

# Fields of a case that a version fills from its event.
FIELDS = ("key", "amount", "currency", "target", "party", "reason", "requested_by", "moment")
# What an effect needs to know of its case, and what its consent is about.
FIELDS_TO_ACT = ("amount", "currency", "target")


def check(version: WorkflowVersion) -> list[str]:
    """Sentences about what would keep this version from running; none means it can be published."""
    steps = list(version.steps.order_by("position"))
    moves_money = any(getattr(registry.step_kinds.get(step.kind), "moves_money", False) for step in steps)
    problems = [*_check_fields(version, acting=moves_money), *_check_events(version), *_check_steps(steps)]
    if any(step.kind == "decide" for step in steps) and not _published(version.workflow.rule_sets):
        problems.append("The workflow has no published rules: publish a rule set first.")
    for further in registry.definition_checks:
        problems += further(version)
    return problems


def check_rules(rule_set: RuleSet) -> list[str]:
    """Sentences about what is wrong with the rules; none means they can be published."""
    found = list(rule_set.rules.order_by("position"))
    problems = [f"“{rule.name}”: {text}" for rule in found for text in rules.check(rule.conditions)]
    names = [rule.name for rule in found]
    problems += [f"Two rules are named “{name}”." for name in sorted({n for n in names if names.count(n) > 1})]
    return problems if found else ["A rule set needs at least one rule."]


def publish(version: WorkflowVersion, *, by: User | None, reason: str) -> WorkflowVersion:
    """Put a draft in force for cases that open from now on, and retire the version before it.

    Raises Unpublishable with everything that is wrong, NotADraft, Overtaken.
    """
    with transaction.atomic():
        _lock(version.workflow_id)
        version = WorkflowVersion.objects.select_related("workflow__organization").get(pk=version.pk)
        put_in_force(version, check(version), by=by, reason=reason, noun="workflows.version")
    version.refresh_from_db()
    return version


def publish_rules(rule_set: RuleSet, *, by: User | None, reason: str) -> RuleSet:
    """Let these rules decide from now on, and retire those before them. Raises as `publish`."""
    with transaction.atomic():
        _lock(rule_set.workflow_id)
        rule_set = RuleSet.objects.select_related("workflow__organization").get(pk=rule_set.pk)
        put_in_force(rule_set, check_rules(rule_set), by=by, reason=reason, noun="workflows.rule_set")
    rule_set.refresh_from_db()
    return rule_set


def new_draft(version: WorkflowVersion, *, by: User | None, reason: str) -> WorkflowVersion:
    """A copy of a version to edit."""
    with transaction.atomic():
        copy = WorkflowVersion(
            workflow=_lock(version.workflow_id),
            number=next_number(version),
            case_kind=version.case_kind,
            opened_by=version.opened_by,
            withdrawn_by=version.withdrawn_by,
            fields=version.fields,
        )
        copy.save()
        Step.objects.bulk_create(
            Step(version=copy, position=step.position, key=step.key, kind=step.kind, config=step.config)
            for step in version.steps.all()
        )
        tell("workflows.version.drafted", copy, by=by, reason=reason, after={"copied_from": str(version)})
    return copy


def new_draft_rules(rule_set: RuleSet, *, by: User | None, reason: str) -> RuleSet:
    """A copy of a rule set to edit."""
    with transaction.atomic():
        copy = RuleSet.objects.create(workflow=_lock(rule_set.workflow_id), number=next_number(rule_set))
        rows = list(rule_set.rules.all())
        for rule in rows:
            rule.pk, rule.rule_set = None, copy
        copy.rules.bulk_create(rows)
        tell("workflows.rule_set.drafted", copy, by=by, reason=reason, after={"copied_from": str(rule_set)})
    return copy


def discard(edition: WorkflowVersion | RuleSet, *, by: User | None, reason: str) -> None:
    """Throw a draft away; nothing ever ran on it. Raises NotADraft."""
    noun = "version" if isinstance(edition, WorkflowVersion) else "rule_set"
    with transaction.atomic():
        _lock(edition.workflow_id)
        throw_away(edition, by=by, reason=reason, noun=f"workflows.{noun}")


def _lock(workflow_id: int) -> Workflow:
    """The workflow under its row lock: drafts are numbered and published one after the other."""
    return Workflow.objects.select_for_update(of=("self",)).select_related("organization").get(pk=workflow_id)


def _published(editions: Any) -> Any:
    return editions.filter(state=VersionState.PUBLISHED).first()


# The four below work on every kind of edition: versions, rule sets, and the threshold policies of the floor above.


def next_number(edition: Any) -> int:
    """The number after the last one of the same workflow; the caller holds the workflow's lock."""
    siblings = type(edition).objects.filter(workflow_id=edition.workflow_id)
    return int(siblings.aggregate(last=Max("number"))["last"] or 0) + 1


def put_in_force(edition: Any, problems: list[str], *, by: User | None, reason: str, noun: str) -> None:
    """Retire the published edition and publish this one, under the workflow's lock. Raises as `publish`."""
    if edition.state != VersionState.DRAFT:
        raise NotADraft(f"{edition} is {edition.state} already.")
    if problems:
        raise Unpublishable(" ".join(problems))
    former = _published(type(edition).objects.filter(workflow_id=edition.workflow_id))
    if former is not None:
        former.move_to(VersionState.RETIRED)
        tell(f"{noun}.retired", former, by=by, reason=f"{edition} takes its place: {reason}")
    edition.move_to(VersionState.PUBLISHED, published_at=Now(), published_by=by)
    replaced = {"replaced": str(former)} if former is not None else {}
    tell(f"{noun}.published", edition, by=by, reason=reason, before=replaced, after={"published": str(edition)})


def throw_away(edition: Any, *, by: User | None, reason: str, noun: str) -> None:
    """Delete a draft under the workflow's lock. Raises NotADraft."""
    fresh = type(edition).objects.get(pk=edition.pk)
    if fresh.state != VersionState.DRAFT:
        raise NotADraft(f"{fresh} is {fresh.state}: what was in force once is kept.")
    tell(f"{noun}.discarded", fresh, by=by, reason=reason, before={"draft": str(fresh)})
    fresh.delete()


def tell(
    verb: str,
    edition: Any,
    *,
    by: User | None,
    reason: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Record what happened to an edition; nobody named means the desk itself, as when it is first filled."""
    assert isinstance(edition, Movable)  # noqa: S101 - only editions have a state and a workflow
    record(
        verb,
        actor=Actor.person(by) if by is not None else Actor.desk(),
        organization_id=edition.workflow.organization_id,  # type: ignore[attr-defined]
        subject=(edition._meta.model_name or "", edition.pk),
        reason=reason,
        before=before,
        after=after,
    )


def _check_fields(version: WorkflowVersion, *, acting: bool) -> list[str]:
    if not isinstance(version.fields, dict):
        return ["The fields must be names with names: {case field: field of the event}."]
    problems = [
        f"A case has no field “{name}”: it has {', '.join(FIELDS)}." for name in version.fields if name not in FIELDS
    ]
    problems += [
        f"The case field “{name}” must name a field of the event."
        for name, source in version.fields.items()
        if not isinstance(source, str) or not source
    ]
    needed = ("key", *(FIELDS_TO_ACT if acting else ()))
    return problems + [
        f"The fields do not say where “{name}” comes from." for name in needed if name not in version.fields
    ]


def _check_events(version: WorkflowVersion) -> list[str]:
    """An event type must have one meaning in an organization, or an arriving event could not be told apart."""
    problems = []
    if not version.opened_by.strip():
        problems.append("No event type opens a case.")
    if version.opened_by and version.opened_by == version.withdrawn_by:
        problems.append(f"“{version.opened_by}” cannot both open and withdraw a case.")
    others = WorkflowVersion.objects.filter(
        state=VersionState.PUBLISHED, workflow__organization_id=version.workflow.organization_id
    ).exclude(workflow_id=version.workflow_id)
    for other in others.select_related("workflow"):
        taken = {other.opened_by, other.withdrawn_by} & {version.opened_by, version.withdrawn_by} - {""}
        problems += [f"“{event_type}” is taken by the workflow {other.workflow}." for event_type in sorted(taken)]
        if other.case_kind == version.case_kind:
            problems.append(f"Cases of the kind “{version.case_kind}” belong to the workflow {other.workflow}.")
    return problems


def _check_steps(steps: list[Step]) -> list[str]:
    problems: list[str] = []
    passed: set[str] = set()
    for step in steps:
        kind = registry.step_kinds.get(step.kind)
        if kind is None:
            known = ", ".join(sorted(registry.step_kinds))
            problems.append(f"Step {step.key}: there is no step kind “{step.kind}”; there is {known}.")
        elif not isinstance(step.config, dict):
            problems.append(f"Step {step.key}: the settings must be names with values.")
        else:
            problems += [f"Step {step.key}: {text}" for text in kind.check(step.config)]
            problems += [f"Step {step.key}: {text}" for text in _check_order(step.kind, kind, passed)]
        passed.add(step.kind)
    return problems or ([] if steps else ["A workflow needs at least one step."])


def _check_order(name: str, kind: registry.StepKind, passed: set[str]) -> list[str]:
    """What must have come before: facts before a decision, a decision before consent, consent before money moves."""
    needed = {"decide": ["gather"], "approve": ["decide"]}.get(name, [])
    if kind.moves_money:
        needed = ["approve"]
    return [f"{name} needs a step of the kind {before} before it." for before in needed if before not in passed]
