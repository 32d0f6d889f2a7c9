"""Taking in events: each opens a case, tells somebody, withdraws a case, or is set aside with a reason."""

from collections.abc import Iterable

import structlog
from django.db import OperationalError, transaction

from auditlog.services import Actor
from opsdesk.lib import clock
from opsdesk.lib.rows import write_changes
from workflows import cases, registry
from workflows.engine.context import Batch
from workflows.errors import Unreadable
from workflows.models import Case, Event, Run, WorkflowVersion
from workflows.registry import Reading
from workflows.states import EventState, VersionState

log = structlog.get_logger(__name__)
_WRITTEN = ("state", "type", "reason", "case", "looked_at")


def take_in(limit: int = 100) -> int:
    """Look at the oldest events that nobody has looked at; returns how many there were."""
    with transaction.atomic():
        events = list(
            Event.objects.filter(state=EventState.RECEIVED).order_by("pk").select_for_update(skip_locked=True)[:limit]
        )
        if not events:
            return 0
        try:
            with transaction.atomic():
                _take(events)
            return len(events)
        except OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - one odd event must not hold up the others: look at each alone
            log.info("events_taken_singly", count=len(events), error=str(error))
        for event in events:
            _take_alone(event)
    return len(events)


def _take_alone(event: Event) -> None:
    event.refresh_from_db()
    try:
        with transaction.atomic():
            _take([event])
    except OperationalError:
        raise
    except Exception as error:
        log.exception("event_not_taken_in", event_id=event.pk)
        event.refresh_from_db()
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
    opening: list[tuple[Event, Reading, WorkflowVersion]] = []
    for event, reading in readings:
        event.type = reading.type[:80]
        opener = versions.get((event.organization_id, "open", reading.type))
        closer = versions.get((event.organization_id, "withdraw", reading.type))
        if opener:
            opening.append((event, reading, opener))
        elif closer:
            _withdraw(event, reading, closer)
        elif reading.type in registry.news:
            _set_aside(event, EventState.PROCESSED, registry.news[reading.type](event, reading))
        else:
            _set_aside(event, EventState.IGNORED, f"Nothing is subscribed to “{reading.type[:80]}”.")
    _open_cases(opening, batch)
    batch.flush()
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
    key = str(reading.data.get(version.fields.get("key", ""), ""))[:100]
    case = Case.objects.filter(organization_id=event.organization_id, kind=version.case_kind, key=key).first()
    if case is None:
        _set_aside(event, EventState.IGNORED, f"There is no case {key or 'without a reference'} to withdraw.")
    elif cases.withdraw(case.pk, actor=Actor.outside(event.source), reason="The requester withdrew the request."):
        _set_aside(event, EventState.PROCESSED, f"Withdrew {case}.", case)
    else:
        _set_aside(event, EventState.IGNORED, f"{case} is already closed, or its refund is under way.", case)


def _open_cases(opening: list[tuple[Event, Reading, WorkflowVersion]], batch: Batch) -> None:
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
    for (event, reading, version), content in zip(opening, contents, strict=True):
        place = (event.organization_id, version.case_kind, content["key"])
        if place in known:
            _repeat(event, reading, known[place], batch)
            continue
        case = batch.add(Case(organization_id=event.organization_id, kind=version.case_kind, **content))
        known[place] = case
        run = Run(organization_id=event.organization_id, workflow=version.workflow, version=version, case=case)
        batch.add(run)
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


def _repeat(event: Event, reading: Reading, case: Case, batch: Batch) -> None:
    if dict(reading.data) == case.data or case.pk is None:
        _set_aside(event, EventState.PROCESSED, "The case was already open; nothing new.", case)
        return
    _set_aside(event, EventState.IGNORED, f"{case} exists with other content; it was left as it is.", case)
    batch.record(
        "workflows.case.contradicted",
        subject=case,
        case_of=case,
        actor=Actor.outside(event.source),
        organization_id=event.organization_id,
        after={"event": event.pk},
        reason="The same reference arrived again with other content; it was not taken over.",
    )
