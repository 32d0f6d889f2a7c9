"""Taking in events: each opens a case, tells somebody, withdraws a case, or is set aside with a reason."""

from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor
from opsdesk.lib import clock
from opsdesk.lib.crashing import crashpoint
from opsdesk.lib.database import is_busy, is_lost
from opsdesk.lib.rows import write_changes
from workflows import cases, registry
from workflows.engine import subscriptions, turns, waking
from workflows.engine.context import Batch
from workflows.engine.opening import new_run
from workflows.engine.subscriptions import Opening
from workflows.errors import Unreadable
from workflows.models import Case, Event, Run, WorkflowVersion
from workflows.registry import Reading
from workflows.states import CaseState, EventState, RunState

log = structlog.get_logger(__name__)
# An event whose reader this worker does not know is set aside only when no newer worker took it for so long.
LEFT_TO_OTHERS = timedelta(hours=1)
_WRITTEN = ("state", "type", "reason", "case", "looked_at")
Told = tuple[Event, Reading, WorkflowVersion]
Opens = tuple[Event, Reading, Opening]


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


def take_one(event_id: int) -> None:
    """Look at one event at once, because somebody waits to see what becomes of it; if it cannot be, a worker will."""
    _take_alone(event_id)


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
    subscribed = subscriptions.of({event.organization_id for event, _ in readings})
    opening: list[Opens] = []
    closing: list[Told] = []
    others: list[tuple[Event, Reading]] = []
    for event, reading in readings:
        event.type = reading.type[:80]
        closer = subscribed.closing.get((event.organization_id, reading.type))
        found = subscribed.opening_of(event.organization_id, reading)
        if isinstance(found, Opening):
            opening.append((event, reading, found))
        elif found is not None:
            _set_aside(event, *found)
        elif closer:
            closing.append((event, reading, closer))
        elif reading.type in registry.news:
            _set_aside(event, EventState.PROCESSED, registry.news[reading.type](event, reading))
        else:
            others.append((event, reading))
    _open_cases(opening, batch)
    batch.flush()
    # After the openings, for a request and its withdrawal often come together.
    for told in closing:
        _withdraw(*told)
    _tell_waiting(others)
    for event in events:
        event.case = event.case  # the case has its key only now
    write_changes(events, _WRITTEN)


def _tell_waiting(told: list[tuple[Event, Reading]]) -> None:
    """Give events that open and close nothing to the cases that wait for them, now or at a later step."""
    awaited = subscriptions.awaited({(event.organization_id, reading.type) for event, reading in told})
    for event, reading in told:
        kinds = awaited.get((event.organization_id, reading.type))
        if kinds is None:
            _set_aside(event, EventState.IGNORED, f"Nothing is subscribed to “{reading.type[:80]}”.")
            continue
        case = next((case for fields, kind in kinds for case in _named(event, reading, fields, kind)), None)
        if case is None:
            _set_aside(event, EventState.IGNORED, "No open case has the key that it names.")
            continue
        waking.tell(cases.locked(case.pk), reading.type)
        _set_aside(event, EventState.PROCESSED, f"Was told to {case}.", case)


def _named(event: Event, reading: Reading, fields: dict[str, str], kind: str) -> list[Case]:
    key = cases.key_of(fields, reading.data)
    return list(Case.objects.open().filter(organization_id=event.organization_id, kind=kind, key=key)) if key else []


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


def _open_cases(opening: list[Opens], batch: Batch) -> None:
    contents = [
        cases.content_from(found.version.fields, reading.data, unnamed=f"event-{event.pk}")
        for event, reading, found in opening
    ]
    keys = {(event.organization_id, found.version.case_kind, content["key"]) for (event, _, found), content in
            zip(opening, contents, strict=True)}  # fmt: skip
    known: dict[tuple[int, str, str], Case] = {
        (case.organization_id, case.kind, case.key): case
        for case in Case.objects.filter(key__in={key for _, _, key in keys})
        if (case.organization_id, case.kind, case.key) in keys
    }
    lately = _opened_lately(opening, contents)
    for (event, reading, found), content in zip(opening, contents, strict=True):
        version = found.version
        place = (event.organization_id, version.case_kind, content["key"])
        if place in known:
            _repeat(event, reading, known[place], batch)
            continue
        same = lately.get((version.workflow_id, turns.key_from(version, content)))
        if same is not None:
            _take_as_same(event, reading, version, same, batch)
            continue
        case = batch.add(_new_case(event, reading, version, content))
        known[place] = case
        run = batch.add(new_run(version, case, trigger=found.trigger, begins=reading.begins))
        if version.debounce_seconds and run.concurrency_key:
            lately[version.workflow_id, run.concurrency_key] = case
        batch.record(
            "workflows.case.opened",
            subject=case,
            case_of=case,
            actor=_opener(event, reading),
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


def _new_case(event: Event, reading: Reading, version: WorkflowVersion, content: dict[str, Any]) -> Case:
    begins = reading.begins
    return Case(
        organization_id=event.organization_id,
        kind=version.case_kind,
        requested_by_user_id=begins.requester_id if begins else None,
        **content,
    )


def _opened_lately(opening: list[Opens], contents: list[dict[str, Any]]) -> dict[turns.Place, Case]:
    """The cases begun so lately that an opening with the same key is one with them, where the version says so."""
    within = {
        (found.version.workflow_id, key): timedelta(seconds=found.version.debounce_seconds)
        for (_, _, found), content in zip(opening, contents, strict=True)
        if found.version.debounce_seconds and (key := turns.key_from(found.version, content))
    }
    if not within:
        return {}
    # Two workers that look at the same moment would each find nothing.
    turns.in_sequence("debounce", within.keys())
    lately: dict[turns.Place, Case] = {}
    for (workflow_id, key), length in within.items():
        began = Run.objects.filter(workflow_id=workflow_id, concurrency_key=key, started_at__gt=Now() - length)
        run = began.exclude(state=RunState.CANCELED).select_related("case").order_by("-pk").first()
        if run is not None:
            lately[workflow_id, key] = run.case
    return lately


def _take_as_same(event: Event, reading: Reading, version: WorkflowVersion, case: Case, batch: Batch) -> None:
    words = f"It came within {version.debounce_seconds} s of the case {case.key} and is taken as the same."
    _set_aside(event, EventState.IGNORED, words, case)
    batch.record(
        "workflows.case.repeated",
        subject=case,
        case_of=case,
        actor=_opener(event, reading),
        organization_id=event.organization_id,
        after={"event": event.pk},
        reason=words,
    )


def _opener(event: Event, reading: Reading) -> Actor:
    begins = reading.begins
    if begins is None:
        return Actor.outside(event.source)
    if begins.parent_id is not None:
        return Actor.run(begins.by)
    if begins.requester_id is not None:
        return Actor.person(User.objects.get(pk=begins.requester_id))
    return Actor.timer(begins.by)


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
