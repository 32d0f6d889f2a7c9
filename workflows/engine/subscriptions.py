"""Which published version an event means: what opens a case, what withdraws one, what a waiting step listens to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Q

from workflows.engine.definitions import TriggerDefinition, definition_of
from workflows.models import Step, Trigger, WorkflowVersion
from workflows.registry import Begins, Reading
from workflows.states import EventState, VersionState
from workflows.triggers import filters

SetAside = tuple[EventState, str]


@dataclass(frozen=True, slots=True)
class Opening:
    """A version that an event opens a case of, and the trigger that says so; none for the version's own event type."""

    version: WorkflowVersion
    trigger: TriggerDefinition | None = None


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """By organization: event types that open a case, those that withdraw one, and workflows by their slug."""

    opening: Mapping[tuple[int, str], list[Opening]] = field(default_factory=dict)
    closing: Mapping[tuple[int, str], WorkflowVersion] = field(default_factory=dict)
    workflows: Mapping[tuple[int, str], WorkflowVersion] = field(default_factory=dict)

    def opening_of(self, organization_id: int, reading: Reading) -> Opening | SetAside | None:
        """What the event opens; or how it is set aside, though somebody asked for its type; or nothing."""
        if reading.begins is not None:
            return self._begun(organization_id, reading.begins)
        offers = self.opening.get((organization_id, reading.type))
        if offers is None:
            return None
        unknown: list[str] = []
        for offer in offers:
            held = filters.hold(offer.trigger.config.get("when", []), reading.data) if offer.trigger else True
            if held:
                return offer
            if held is None and offer.trigger:
                unknown.append(offer.trigger.key)
        if unknown:
            return EventState.QUARANTINED, f"The filter of {', '.join(unknown)} cannot be answered by what it brings."
        said = "; ".join(filters.in_words(offer.trigger.config.get("when", [])) for offer in offers if offer.trigger)
        return EventState.IGNORED, f"No filter lets it through: {said}."

    def _begun(self, organization_id: int, begins: Begins) -> Opening | SetAside:
        version = self.workflows.get((organization_id, begins.workflow))
        if version is None:
            return EventState.IGNORED, f"No version of the workflow {begins.workflow} is published."
        triggers = definition_of(version.pk).triggers
        trigger = next((trigger for trigger in triggers if trigger.key == begins.trigger), None)
        if trigger is None:
            return EventState.IGNORED, f"{version} has no trigger {begins.trigger} any more."
        return Opening(version, trigger)


def of(organization_ids: Iterable[int]) -> Subscriptions:
    """What the published versions of these organizations subscribe to; one query, and three for a new version."""
    published = WorkflowVersion.objects.filter(
        state=VersionState.PUBLISHED, workflow__organization_id__in=list(organization_ids)
    ).select_related("workflow")
    opening: dict[tuple[int, str], list[Opening]] = {}
    closing: dict[tuple[int, str], WorkflowVersion] = {}
    workflows: dict[tuple[int, str], WorkflowVersion] = {}
    for version in published:
        organization_id = version.workflow.organization_id
        workflows[organization_id, version.workflow.slug] = version
        for trigger in definition_of(version.pk).triggers:
            if trigger.kind == Trigger.Kind.EVENT:
                opening.setdefault((organization_id, trigger.config["type"]), []).append(Opening(version, trigger))
        if version.opened_by:
            opening.setdefault((organization_id, version.opened_by), []).append(Opening(version))
        if version.withdrawn_by:
            closing[organization_id, version.withdrawn_by] = version
    return Subscriptions(opening, closing, workflows)


def awaited(types: Iterable[tuple[int, str]]) -> dict[tuple[int, str], list[tuple[dict[str, str], str]]]:
    """Of event types by organization: field map and kind of the cases in whose versions a step waits for them."""
    which = Q()
    for organization_id, kind in types:
        which |= Q(version__workflow__organization_id=organization_id, config__event=kind)
    if not which:
        return {}
    steps = Step.objects.filter(which, kind="wait").exclude(version__state=VersionState.DRAFT)
    found: dict[tuple[int, str], list[tuple[dict[str, str], str]]] = {}
    for step in steps.select_related("version__workflow").order_by("-version__number"):
        version = step.version
        place = (version.workflow.organization_id, step.config["event"])
        entry = (version.fields, version.case_kind)
        if entry not in found.setdefault(place, []):
            found[place].append(entry)
    return found
