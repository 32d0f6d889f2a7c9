"""The step kind `start`: begins another published workflow, once a run, and waits for its end or not.

    workflow: supplier-check        slug; its published version must have a trigger of the kind workflow
    fields: {reference: case.key}   names in what the other one reads, with where the values come from
    wait: true                      go on only when the other case is done
    then: fail                      when the other case ends otherwise: stop for a person, or go_on

Values come from `case.key` and the like, from `data.NAME` of the request, and from `fact.NAME`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from workflows import facts
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome, Wait
from workflows.errors import StepFailed
from workflows.models import Event, Run, Step, Trigger, Workflow, WorkflowVersion
from workflows.states import CASE_FINAL, CaseState, EventState, FailureKind, VersionState, WaitsFor
from workflows.triggers import own_events

CASE_VALUES = ("key", "amount", "currency", "target", "party", "reason", "requested_by")
# A chain of runs that start each other is cut here: publishing refuses circles, this holds whatever was published.
MOST_DEEP = 5
_FIRST_LOOK = timedelta(seconds=10)
_LATER_LOOK = timedelta(minutes=5)


class Start:
    """Begins a run of another workflow of the organization."""

    name = "start"
    asks_outside = False
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Which workflow, with what, and what follows."""
        known = ("workflow", "fields", "wait", "then")
        problems = [f"start has no setting “{name}”." for name in config if name not in known]
        if not isinstance(config.get("workflow"), str) or not config["workflow"]:
            problems.append("workflow is the short name of another workflow.")
        if not isinstance(config.get("wait", True), bool):
            problems.append("wait is true or false.")
        if config.get("then", "fail") not in ("fail", "go_on"):
            problems.append("then is fail or go_on.")
        fields = config.get("fields")
        if not isinstance(fields, Mapping) or not fields:
            return [*problems, "fields says where each value of the other workflow comes from."]
        return problems + [text for name, source in fields.items() if (text := _check_source(name, source))]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """The other workflow is the desk's own."""

    def perform(self, context: RunContext) -> Outcome:
        """Begin the other run, or look how its case stands. Raises StepFailed when it came to nothing."""
        config = context.step.config
        event = self._event(context, config)
        if not config.get("wait", True):
            return Done(f"Began {config['workflow']}.")
        if event.state in (EventState.IGNORED, EventState.QUARANTINED):
            raise StepFailed(FailureKind.DATA, f"{config['workflow']} was not begun: {event.reason}")
        case = event.case
        if case is None:
            reason = f"Waits for {config['workflow']}, which is about to begin."
            return Wait(WaitsFor.WORKFLOW, reason, context.now + _FIRST_LOOK)
        if case.state == CaseState.DONE:
            return Done(f"{case} is done: {case.standing}")
        if case.state in CASE_FINAL:
            words = f"{case} ended as {case.get_state_display().lower()}: {case.standing}"
            if config.get("then", "fail") == "go_on":
                return Done(words)
            raise StepFailed(FailureKind.DATA, words)
        reason = f"Waits for {case} ({config['workflow']}) to be done. There: {case.standing or 'begins'}"
        return Wait(WaitsFor.WORKFLOW, reason, context.now + _LATER_LOOK)

    def _event(self, context: RunContext, config: Mapping[str, Any]) -> Event:
        run, case = context.run, context.case
        key = f"{run.pk}:{context.step.key}"
        workflow = (
            Workflow.objects.select_related("organization")
            .filter(organization_id=run.organization_id, slug=config["workflow"])
            .first()
        )
        trigger = _entrance(workflow) if workflow is not None else None
        if workflow is None or trigger is None:
            raise StepFailed(
                FailureKind.DATA, f"No published version of {config['workflow']} can be started by another workflow."
            )
        if _depth(run) >= MOST_DEEP:
            raise StepFailed(FailureKind.DATA, f"{MOST_DEEP} workflows have started each other: look before going on.")
        found = Event.objects.filter(source=own_events.source_of(workflow, trigger=trigger.key), dedupe_key=key)
        event = found.select_related("case").first()
        if event is not None:
            return event
        values = {name: _value(context, source) for name, source in config["fields"].items()}
        event, _ = own_events.tell(
            workflow,
            trigger=trigger.key,
            kind="workflow",
            key=key,
            data={name: value for name, value in values.items() if value is not None},
            by=f"{context.definition.name}, step {context.step.key}, {case}",
            requester_id=case.requested_by_user_id,
            parent_id=run.pk,
        )
        return event


def _check_source(name: object, source: object) -> str:
    if not isinstance(source, str):
        return f"“{str(name)[:40]}” must say where it comes from, such as case.key."
    room, _, what = source.partition(".")
    if room == "case" and what in CASE_VALUES:
        return ""
    if room == "data" and what:
        return ""
    if room == "fact":
        return "" if what in facts.catalogue() else f"There is no fact “{what[:60]}”."
    return f"“{source[:40]}” is no place: write case.{CASE_VALUES[0]}, data.NAME or fact.NAME."


def _value(context: RunContext, source: str) -> Any:
    case = context.case
    room, _, what = source.partition(".")
    match room:
        case "data":
            return case.data.get(what)
        case "fact":
            value = facts.value_of(context.facts, what)
            return None if value is None else facts.in_words(what, value, case.currency)
    if what == "amount":
        return f"{case.amount.decimal}" if case.amount else None
    return getattr(case, what) or None


def _entrance(workflow: Workflow) -> Trigger | None:
    """The trigger through which another workflow starts this one."""
    doors = Trigger.objects.filter(
        version__workflow=workflow, version__state=VersionState.PUBLISHED, kind=Trigger.Kind.WORKFLOW
    )
    return doors.order_by("position").first()


def _depth(run: Run) -> int:
    deep, above = 0, run.parent_id
    while above is not None and deep < MOST_DEEP:
        deep += 1
        above = Run.objects.values_list("parent_id", flat=True).get(pk=above)
    return deep


def check_targets(version: WorkflowVersion) -> list[str]:
    """Sentences about steps that start what cannot be started, or what would in the end start this one again."""
    organization_id = version.workflow.organization_id
    problems = []
    for step in version.steps.filter(kind="start").order_by("position"):
        slug = _target(step)
        workflow = Workflow.objects.filter(organization_id=organization_id, slug=slug).first()
        if slug == version.workflow.slug:
            problems.append(f"Step {step.key}: a workflow cannot start itself.")
        elif workflow is None or _entrance(workflow) is None:
            problems.append(f"Step {step.key}: no published version of “{slug}” has a trigger of the kind workflow.")
        elif missing := _missing(workflow, step):
            problems.append(f"Step {step.key}: {slug} needs “{missing}”, which fields does not give.")
        else:
            problems += [f"Step {step.key}: {words}" for words in _circles(version, slug)]
    return problems


def _target(step: Step) -> str:
    return str(step.config.get("workflow", "")) if isinstance(step.config, dict) else ""


def _missing(workflow: Workflow, step: Step) -> str:
    given = step.config.get("fields")
    key = workflow.versions.filter(state=VersionState.PUBLISHED).values_list("fields", flat=True)[0].get("key", "")
    return "" if isinstance(given, Mapping) and key in given else str(key)


def _circles(version: WorkflowVersion, slug: str) -> Iterator[str]:
    """The way back to the version's own workflow, if published versions have one."""
    edges: dict[str, set[str]] = {}
    published = Step.objects.filter(
        kind="start", version__state=VersionState.PUBLISHED,
        version__workflow__organization_id=version.workflow.organization_id,
    ).select_related("version__workflow")  # fmt: skip
    for step in published:
        edges.setdefault(step.version.workflow.slug, set()).add(_target(step))
    ways, seen = [[slug]], {slug}
    while ways:
        way = ways.pop()
        for further in sorted(edges.get(way[-1], ())):
            if further == version.workflow.slug:
                yield f"{' starts '.join([version.workflow.slug, *way, further])}: that would never end."
                return
            if further not in seen:
                seen.add(further)
                ways.append([*way, further])
