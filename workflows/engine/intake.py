"""Taking in events: each opens a case, tells somebody, withdraws a case, or is set aside with a reason."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from auditlog.services import Actor
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_busy, is_lost
from opsdesk.lib.rows import write_changes
from workflows import cases, registry
from workflows.engine import turns
from workflows.engine.context import Batch
from workflows.engine.opening import new_run
from workflows.errors import Unreadable
from workflows.models import Case, Event, Run, WorkflowVersion
from workflows.registry import Reading
from workflows.states import CaseState, EventState, RunState, VersionState

log = structlog.get_logger(__name__)
# An event whose reader this worker does not know is set aside only when no newer worker took it for so long.
LEFT_TO_OTHERS = timedelta(hours=1)
_WRITTEN = ("state", "type", "reason", "case", "looked_at")
Told = tuple[Event, Reading, WorkflowVersion]


def take_in(limit: int = 100) -> int:
    """Look at the oldest events that nobody has looked at; returns how many there were."""
    events: list[Event] = []
    try:
        with transaction.atomic():
            events += _received()[:limit]
            if events:
                _take(events)
                crashpoint("take_in.before_commit")
        if events:
            crashpoint("take_in.after_commit")
        return len(events)
    except Exception as error:
        if is_lost(error):
            raise
        # One odd event must not hold up the others: each is looked at in a transaction of its own.
        log.info("events_taken_singly", count=len(events), error=str(error))
    return sum(_take_alone(event.pk) for event in events)


def _received() -> QuerySet[Event]:
    """What this worker's code can read; what it cannot is left to newer ones for as long as an upgrade may take."""
    fitting = Q(reader__in=sorted(registry.readers)) | Q(received_at__lt=Now() - LEFT_TO_OTHERS)
    received = Event.objects.filter(fitting, state=EventState.RECEIVED)
    return received.order_by("pk").select_for_update(skip_locked=True)


def _take_alone(event_id: int) -> int:
    """Look at one event; 0 when another worker has it, or the database is too busy just now."""
    for again in (True, False):
        try:
            with transaction.atomic():
                event = _received().filter(pk=event_id).first()
                if event is not None:
                    _take([event])
                return int(event is not None)
        except IntegrityError as error:
            # Somebody opened the same case at this very moment: at the second look it is there.
            if not again:
                _quarantine(event_id, error)
        except Exception as error:
            if is_lost(error):
                raise
            if is_busy(error):
                return 0
            _quarantine(event_id, error)
            break
    return 1


@transaction.atomic
def _quarantine(event_id: int, error: Exception) -> None:
    log.error("event_not_taken_in", event_id=event_id, exc_info=error)
    event = _received().filter(pk=event_id).first()
    if event is not None:
        _set_aside(event, EventState.QUARANTINED, f"The desk could not take it in: {error}")
        write_changes([event], _WRITTEN)


def _set_aside(event: Event, state: EventState, reason: str, case: Case | None = None) -> None:
    event.check_move(state)
    event.take_over(state, reason=reason[:300], case=case, looked_at=clock.now())


def _take(events: list[Event]) -> None:
    """Take in several events inside one transaction, with few statements."""
    batch = Batch()
    readings: list[tuple[Event, Reading]] = []
    for event in events:
        try:
            readings.append((event, registry.readers[event.reader](bytes(event.body))))
        except Unreadable as refusal:
            _set_aside(event, EventState.QUARANTINED, str(refusal))
    versions = _subscribed({event.organization_id for event, _ in readings})
    opening: list[Told] = []
    closing: list[Told] = []
    for event, reading in readings:
        event.type = reading.type[:80]
        opener = versions.get((event.organization_id, "open", reading.type))
        closer = versions.get((event.organization_id, "withdraw", reading.type))
        if opener:
            opening.append((event, reading, opener))
        elif closer:
            closing.append((event, reading, closer))
        elif reading.type in registry.news:
            _set_aside(event, EventState.PROCESSED, registry.news[reading.type](event, reading))
        else:
            _set_aside(event, EventState.IGNORED, f"Nothing is subscribed to “{reading.type[:80]}”.")
    _open_cases(opening, batch)
    batch.flush()
    # After the openings, for a request and its withdrawal often come together.
    for told in closing:
        _withdraw(*told)
    for event in events:
        event.case = event.case  # the case has its key only now
    write_changes(events, _WRITTEN)


def _subscribed(organization_ids: Iterable[int]) -> dict[tuple[int, str, str], WorkflowVersion]:
    published = WorkflowVersion.objects.filter(
        state=VersionState.PUBLISHED, workflow__organization_id__in=list(organization_ids)
    ).select_related("workflow")
    found: dict[tuple[int, str, str], WorkflowVersion] = {}
    for version in published:
        found[version.workflow.organization_id, "open", version.opened_by] = version
        if version.withdrawn_by:
            found[version.workflow.organization_id, "withdraw", version.withdrawn_by] = version
    return found


def _withdraw(event: Event, reading: Reading, version: WorkflowVersion) -> None:
    key = cases.key_of(version.fields, reading.data)
    if not key:
        _set_aside(event, EventState.IGNORED, "The withdrawal names no reference.")
        return
    actor = Actor.outside(event.source)
    case = Case.objects.filter(organization_id=event.organization_id, kind=version.case_kind, key=key).first()
    if case is None:
        case = cases.open_withdrawn(event.organization_id, version.case_kind, key, actor=actor)
        _set_aside(event, EventState.PROCESSED, f"Withdrew {case} before it was requested.", case)
    elif cases.withdraw(case.pk, actor=actor, reason="The requester withdrew the request."):
        _set_aside(event, EventState.PROCESSED, f"Withdrew {case}.", case)
    else:
        _set_aside(event, EventState.IGNORED, f"{case} is already closed, or its refund is under way.", case)


def _open_cases(opening: list[Told], batch: Batch) -> None:
    contents = [
        cases.content_from(version.fields, reading.data, unnamed=f"event-{event.pk}")
        for event, reading, version in opening
    ]
    keys = {(event.organization_id, version.case_kind, content["key"]) for (event, _, version), content in
            zip(opening, contents, strict=True)}  # fmt: skip
    known: dict[tuple[int, str, str], Case] = {
        (case.organization_id, case.kind, case.key): case
        for case in Case.objects.filter(key__in={key for _, _, key in keys})
        if (case.organization_id, case.kind, case.key) in keys
    }
    lately = _opened_lately(opening, contents)
    for (event, reading, version), content in zip(opening, contents, strict=True):
        place = (event.organization_id, version.case_kind, content["key"])
        if place in known:
            _repeat(event, reading, known[place], batch)
            continue
        same = lately.get((version.workflow_id, turns.key_from(version, content)))
        if same is not None:
            _take_as_same(event, version, same, batch)
            continue
        case = batch.add(Case(organization_id=event.organization_id, kind=version.case_kind, **content))
        known[place] = case
        run = batch.add(new_run(version, case))
        if version.debounce_seconds and run.concurrency_key:
            lately[version.workflow_id, run.concurrency_key] = case
        batch.record(
            "workflows.case.opened",
            subject=case,
            case_of=case,
            actor=Actor.outside(event.source),
            organization_id=event.organization_id,
            after={
                "key": case.key,
                "amount": case.amount_minor,
                "currency": case.currency,
                "target": case.target,
            },
            reason=f"Event {event.pk} of type {reading.type} arrived.",
        )
        _set_aside(event, EventState.PROCESSED, "Opened a case.", case)


def _opened_lately(opening: list[Told], contents: list[dict[str, Any]]) -> dict[turns.Place, Case]:
    """The cases begun so lately that an opening with the same key is one with them, where the version says so."""
    within = {
        (version.workflow_id, key): timedelta(seconds=version.debounce_seconds)
        for (_, _, version), content in zip(opening, contents, strict=True)
        if version.debounce_seconds and (key := turns.key_from(version, content))
    }
    if not within:
        return {}
    # Two workers that look at the same moment would each find nothing.
    turns.in_sequence("debounce", within.keys())
    found: dict[turns.Place, Case] = {}
    for (workflow_id, key), length in within.items():
        began = Run.objects.filter(workflow_id=workflow_id, concurrency_key=key, started_at__gt=Now() - length)
        run = began.exclude(state=RunState.CANCELED).select_related("case").order_by("-pk").first()
        if run is not None:
            found[workflow_id, key] = run.case
    return found


def _take_as_same(event: Event, version: WorkflowVersion, case: Case, batch: Batch) -> None:
    words = f"It came within {version.debounce_seconds} s of the case {case.key} and is taken as the same."
    _set_aside(event, EventState.IGNORED, words, case)
    batch.record(
        "workflows.case.repeated",
        subject=case,
        case_of=case,
        actor=Actor.outside(event.source),
        organization_id=event.organization_id,
        after={"event": event.pk},
        reason=words,
    )


def _repeat(event: Event, reading: Reading, case: Case, batch: Batch) -> None:
    if dict(reading.data) == case.data:
        _set_aside(event, EventState.PROCESSED, "The case was already open; nothing new.", case)
        return
    # The case may stand in this very batch: it has a reference, but no number yet.
    standing = "was withdrawn" if case.state == CaseState.CANCELED else "exists with other content"
    _set_aside(event, EventState.IGNORED, f"The case {case.key} {standing}; it was left as it is.", case)
    batch.record(
        "workflows.case.contradicted",
        subject=case,
        case_of=case,
        actor=Actor.outside(event.source),
        organization_id=event.organization_id,
        after={"event": event.pk},
        reason="The same reference arrived again with other content; it was not taken over.",
    )
