"""Checks of what begins runs: triggers the beat has not looked at, looks that broke, and ways in that fell silent."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet

from opsdesk.lib.wording import span
from opsdesk.watch.findings import Finding, Moment
from opsdesk.watch.work import WEEKS, missing
from workflows.models import Pulse, Run, Trigger, Workflow, WorkflowVersion
from workflows.states import VersionState
from workflows.triggers.kinds import CLOCKED, KINDS

# A tick comes every five seconds and looks at everything that is due; a look that broke is repeated every minute.
LATE = timedelta(seconds=100)
_BY_HAND = (Trigger.Kind.EVENT, Trigger.Kind.FORM)


def triggers_silent(moment: Moment) -> Iterator[Finding]:
    """Triggers that should have fired and have not: schedules, crossings and ages by the clock, the others by habit."""
    yield from _unlooked(moment)
    yield from _unlike_themselves(moment)


def _finding(workflow: Workflow, key: str, words: str) -> Finding:
    return Finding(f"trigger {workflow.pk} {key}", words, workflow.organization)


def _unlooked(moment: Moment) -> Iterator[Finding]:
    """Those at which nobody has looked though it was time, and those whose last look came to nothing."""
    running = Workflow.objects.filter(enabled=True, organization__acting_enabled=True)
    published = Trigger.objects.filter(
        version__state=VersionState.PUBLISHED, version__workflow__in=running, kind__in=CLOCKED
    ).select_related("version__workflow__organization")
    pulses = {pulse.trigger_id: pulse for pulse in Pulse.objects.filter(trigger__in=published)}
    for trigger in published:
        workflow, pulse = trigger.version.workflow, pulses.get(trigger.pk)
        said = f"The trigger {trigger.key} of “{workflow.name}” ({KINDS[trigger.kind].words(trigger.config)})"
        due = pulse.next_at if pulse is not None else trigger.version.published_at
        if pulse is not None and pulse.trouble:
            yield _finding(
                workflow, trigger.key, f"{said} cannot be looked at: {pulse.trouble} It is tried every minute."
            )
        elif moment.silent(due) > LATE:
            yield _finding(
                workflow, trigger.key,
                f"{said} was due {span(moment.silent(due))} ago and has not fired. Look whether beat and a worker run, "
                "and whether the task workflows.fire_triggers is done.",
            )  # fmt: skip


def _unlike_themselves(moment: Moment) -> Iterator[Finding]:
    """Events and forms that usually begin runs by now and have not, beside others of the workflow that do."""
    several = Trigger.objects.filter(version=OuterRef("pk"), kind__in=_BY_HAND)
    versions = WorkflowVersion.objects.filter(
        Exists(several), state=VersionState.PUBLISHED,
        workflow__enabled=True, workflow__organization__acting_enabled=True,
    ).select_related("workflow__organization").prefetch_related("triggers")  # fmt: skip
    for version in versions:
        runs = Run.objects.filter(workflow=version.workflow)
        if missing(version.workflow, runs, moment.now) is not None:
            continue  # the whole workflow is told of
        ways = {trigger.key: KINDS[trigger.kind].words(trigger.config) for trigger in version.triggers.all()
                if trigger.kind in _BY_HAND}  # fmt: skip
        for key, words in ways.items():
            rows = Trigger.objects.filter(version__workflow=version.workflow, key=key)
            yield from _quiet(version, key, words, runs.filter(trigger__in=rows), moment)
        if version.opened_by:
            words = f"the event {version.opened_by} arrives"
            yield from _quiet(version, "", words, runs.filter(trigger=None, parent=None), moment)


def _quiet(version: WorkflowVersion, key: str, words: str, runs: QuerySet[Run], moment: Moment) -> Iterator[Finding]:
    found = missing(version.workflow, runs, moment.now)
    if found is not None:
        window, least = found
        yield _finding(
            version.workflow, key,
            f"“{version.workflow.name}” begins when {words}, and that has not happened for {span(window)}. At this "
            f"hour of the week it did at least {least} times in each of the last {WEEKS} weeks; other ways in go on. "
            "Look whether its source still sends.",
        )  # fmt: skip
