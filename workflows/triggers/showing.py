"""How triggers stand: what begins a run in words, when each last fired, and when it would next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import OuterRef, Subquery

from accounts.models import Membership
from opsdesk.lib.wording import moment, span
from workflows.models import Pulse, Run, Trigger, WorkflowVersion
from workflows.states import VersionState
from workflows.triggers.firing import EVERY
from workflows.triggers.kinds import KINDS

_UNPULLED = "whenever it happens"


@dataclass(frozen=True, slots=True)
class Row:
    """One way in which runs begin, as a line of the page."""

    version: WorkflowVersion
    key: str
    kind: str
    words: str
    last_at: datetime | None
    next_at: datetime | None
    next_words: str
    trouble: str


def rows(membership: Membership) -> list[Row]:
    """Everything that begins runs of the organization now, in a fixed number of statements."""
    published = WorkflowVersion.objects.filter(
        state=VersionState.PUBLISHED, workflow__organization_id=membership.organization_id
    )
    by_event = Run.objects.filter(workflow=OuterRef("workflow"), trigger=None).order_by("-pk")
    versions = (
        published.select_related("workflow__organization")
        .prefetch_related("triggers")
        .annotate(last_at=Subquery(by_event.values("started_at")[:1]))
        .order_by("workflow__name")
    )
    found = list(versions)
    lasts = _last_fired(found)
    pulses = {(pulse.workflow_id, pulse.key): pulse for pulse in
              Pulse.objects.filter(workflow__in=[version.workflow_id for version in found])}  # fmt: skip
    shown = []
    for version in found:
        if version.opened_by:
            words = f"the event {version.opened_by} arrives"
            shown.append(Row(version, "", "event", words, version.last_at, None, _UNPULLED, ""))
        for trigger in version.triggers.all():
            place = (version.workflow_id, trigger.key)
            shown.append(_row(version, trigger, lasts.get(place), pulses.get(place)))
    return shown


def _last_fired(versions: Iterable[WorkflowVersion]) -> dict[tuple[int, str], datetime]:
    """When each trigger last began a run, in whatever version it stood."""
    runs = Run.objects.filter(trigger=OuterRef("pk")).order_by("-pk")
    triggers = Trigger.objects.filter(version__workflow__in=[version.workflow_id for version in versions])
    found: dict[tuple[int, str], datetime] = {}
    dated = triggers.annotate(last_at=Subquery(runs.values("started_at")[:1])).exclude(last_at=None)
    for workflow_id, key, last_at in dated.values_list("version__workflow", "key", "last_at"):
        found[workflow_id, key] = max(last_at, found.get((workflow_id, key), last_at))
    return found


def _row(version: WorkflowVersion, trigger: Trigger, last_at: datetime | None, pulse: Pulse | None) -> Row:
    words = KINDS[trigger.kind].words(trigger.config)
    at, said = _next(version, trigger, pulse)
    return Row(version, trigger.key, trigger.kind, words, last_at, at, said, pulse.trouble if pulse else "")


def _next(version: WorkflowVersion, trigger: Trigger, pulse: Pulse | None) -> tuple[datetime | None, str]:
    if trigger.kind not in EVERY:
        return None, _UNPULLED
    if not version.workflow.enabled:
        return None, "not while the workflow is switched off"
    if pulse is None or pulse.trigger_id != trigger.pk:
        return None, "within seconds"
    if trigger.kind == Trigger.Kind.SCHEDULE:
        return pulse.next_at, ""
    return None, f"looked at every {span(EVERY[Trigger.Kind(trigger.kind)])}"


def stand(trigger: Trigger) -> str:
    """When one trigger last fired and when it would next, as a sentence for the admin."""
    version = trigger.version
    if version.state != VersionState.PUBLISHED:
        return "It fires once the version is published."
    zone = ZoneInfo(version.workflow.organization.time_zone)
    last_at = _last_fired([version]).get((version.workflow_id, trigger.key))
    pulse = Pulse.objects.filter(workflow=version.workflow_id, key=trigger.key).first()
    at, said = _next(version, trigger, pulse)
    last = f"Last fired {moment(last_at, zone)}" if last_at else "It has not fired yet"
    return f"{last}; next {moment(at, zone) if at else said}."


def forms_of(membership: Membership) -> Sequence[Trigger]:
    """The forms that can be filled in now."""
    published = Trigger.objects.filter(
        kind=Trigger.Kind.FORM,
        version__state=VersionState.PUBLISHED,
        version__workflow__organization_id=membership.organization_id,
    )
    return list(published.select_related("version__workflow").order_by("version__workflow__name", "position"))
