"""Circuit breakers: what calls brought opens and closes them, staff may force them, each move is written down.

Only trouble that all calls share counts: no answer, answers nobody can rely on, 5xx, and not being let in. A refusal is
an answer about one request. 429 is one too: the system works and says how often it wants to be asked, which pace and
retry budget obey; opening would also hold what it still allows. 409 and 425 are about an earlier call of ours.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from accounts.models import User
from auditlog.services import Actor, record
from integrations import queueing
from integrations.models import Breaker, Call
from integrations.reasons import NothingToSwitch, checked
from integrations.states import BreakerState
from workflows.alerts import clear_alert, raise_alert
from workflows.states import FailureKind

WINDOW = timedelta(seconds=30)
FEWEST_CALLS = 10
PROBE_AFTER = timedelta(seconds=30)
# As long as a worker's lease: a probe whose worker died is given to somebody else then.
PROBE_LIFE = timedelta(seconds=60)
ALERT = "breaker"
_COUNTS = (FailureKind.TRANSIENT, FailureKind.INFRASTRUCTURE)
_ABOUT_ONE_REQUEST = (409, 425, 429)
_FAILING = Q(outcome__in=_COUNTS) & (Q(status=None) | ~Q(status__in=_ABOUT_ONE_REQUEST))

# A connection's id and the operation.
Place = tuple[int, str]


def is_trouble(call: Call) -> bool:
    """Whether a call says that the other side is in trouble, rather than that one request was."""
    return call.outcome in _COUNTS and call.status not in _ABOUT_ONE_REQUEST


def judge(calls: Iterable[Call], probes: Mapping[Place, int]) -> None:
    """Let written calls open and close breakers; `probes` are those whose one try this was, with their epoch."""
    by_place: dict[Place, list[Call]] = defaultdict(list)
    for call in calls:
        if call.part_of:
            by_place[call.connection_id, call.part_of].append(call)
    for place in sorted({*by_place, *probes}):
        found = by_place[place]
        told = max((call.told for call in found if call.told and call.outcome in _COUNTS), default=None)
        if told:
            _keep_quiet(place, told)
        if place in probes:
            _end_probe(place, probes[place], found)
        elif any(map(is_trouble, found)):
            _open_if_bad(place)


def asks_for_a_try(breaker: Breaker) -> bool:
    """Whether an open breaker has waited long enough, or its probe's worker is gone; `take_probe` decides."""
    return Breaker.objects.ready().filter(pk=breaker.pk).exists()


def take_probe(breaker: Breaker) -> int | None:
    """Take the one try of an open breaker, under its row lock. Its epoch from then on, or None: somebody else has it.

    A probe whose worker has gone is taken over in the same way.
    """
    with transaction.atomic():
        ready = Breaker.objects.ready().filter(pk=breaker.pk, epoch=breaker.epoch)
        mine = ready.select_for_update(skip_locked=True, of=("self",)).first()
        if mine is None:
            return None
        changes = {"epoch": mine.epoch + 1, "moved_at": Now(), "probe_at": None, "probe_until": Now() + PROBE_LIFE}
        if mine.state == BreakerState.OPEN:
            mine.move_to(BreakerState.HALF_OPEN, **changes)
        else:
            Breaker.objects.filter(pk=mine.pk).update(**changes)
        _tell(breaker, "probed", BreakerState.HALF_OPEN, reason="One try finds out how things stand.")
    return breaker.epoch + 1


def _end_probe(place: Place, epoch: int, calls: list[Call]) -> None:
    """Close after a probe that was answered, open again after one that was not; without a call nothing was learned."""
    with transaction.atomic():
        breaker = _locked(place)
        if breaker is None or breaker.epoch != epoch or breaker.state != BreakerState.HALF_OPEN:
            return
        if calls and not any(map(is_trouble, calls)):
            _close(breaker, "It answered again.")
            return
        message = next((call.message for call in calls if is_trouble(call)), "")
        reason = f"The try brought: {message}" if message else breaker.reason
        pause = PROBE_AFTER if calls else timedelta(0)
        _move(breaker, BreakerState.OPEN, reason=reason, probe_at=Now() + pause, probe_until=None)
        _tell(breaker, "opened", BreakerState.OPEN, reason=reason)
        _alert(breaker, reason)


def _open_if_bad(place: Place) -> None:
    """Open a closed breaker when at least half of at least ten calls of the last 30 s failed."""
    Breaker.objects.bulk_create([Breaker(connection_id=place[0], operation=place[1])], ignore_conflicts=True)
    with transaction.atomic():
        breaker = _locked(place)
        if breaker is None or breaker.state != BreakerState.CLOSED or breaker.forced:
            return
        of_late = Call.objects.filter(connection_id=place[0], part_of=place[1], at__gt=Now() - WINDOW)
        if breaker.moved_at is not None:
            of_late = of_late.filter(at__gt=breaker.moved_at)
        counted = of_late.aggregate(calls=Count("pk"), failing=Count("pk", filter=_FAILING))
        if counted["calls"] < FEWEST_CALLS or counted["failing"] * 2 < counted["calls"]:
            return
        reason = f"{counted['failing']} of {counted['calls']} calls failed within {WINDOW.seconds} s."
        _move(breaker, BreakerState.OPEN, reason=reason, probe_at=Now() + PROBE_AFTER)
        _tell(breaker, "opened", BreakerState.OPEN, reason=reason)
        _alert(breaker, reason)


def _keep_quiet(place: Place, told: timedelta) -> None:
    """Obey Retry-After for all calls of the operation, not only for the one that was told."""
    Breaker.objects.bulk_create([Breaker(connection_id=place[0], operation=place[1])], ignore_conflicts=True)
    rows = Breaker.objects.filter(connection_id=place[0], operation=place[1])
    rows.filter(Q(quiet_until=None) | Q(quiet_until__lt=Now() + told)).update(quiet_until=Now() + told)


@transaction.atomic
def force_open(connection_id: int, operation: str, *, by: User, reason: str) -> Breaker:
    """Hold everything of an operation until staff lets it go. Raises NothingToSwitch, ReasonMissing."""
    breaker, words = _for_staff(connection_id, operation), checked(reason)
    if breaker.forced and breaker.state == BreakerState.OPEN:
        raise NothingToSwitch(f"{breaker} is held open already.")
    if breaker.state == BreakerState.OPEN:
        changes: dict[str, object] = {"forced": True, "reason": words, "probe_at": None, "epoch": breaker.epoch + 1}
        Breaker.objects.filter(pk=breaker.pk).update(**changes)
    else:
        _move(breaker, BreakerState.OPEN, reason=words, forced=True, probe_until=None)
    _tell(breaker, "forced_open", BreakerState.OPEN, reason=words, by=by)
    _alert(breaker, f"{by} holds it: {words}")
    return breaker


@transaction.atomic
def force_closed(connection_id: int, operation: str, *, by: User, reason: str) -> Breaker:
    """Let calls go out, however they fail, until staff lets it go. Raises NothingToSwitch, ReasonMissing."""
    breaker, words = _for_staff(connection_id, operation), checked(reason)
    if breaker.forced and breaker.state == BreakerState.CLOSED:
        raise NothingToSwitch(f"{breaker} is held closed already.")
    _close(breaker, words, by=by)
    return breaker


@transaction.atomic
def release(connection_id: int, operation: str, *, by: User, reason: str) -> Breaker:
    """Let calls decide again; an open one is tried at once. Raises NothingToSwitch, ReasonMissing."""
    breaker, words = _for_staff(connection_id, operation), checked(reason)
    if not breaker.forced:
        raise NothingToSwitch(f"{breaker} is left to itself already.")
    changes: dict[str, object] = {"forced": False, "epoch": breaker.epoch + 1, "moved_at": Now()}
    if breaker.state == BreakerState.OPEN:
        changes["probe_at"] = Now()
    Breaker.objects.filter(pk=breaker.pk).update(**changes)
    _tell(breaker, "released", breaker.state, reason=words, by=by)
    queueing.ring()
    return breaker


def _for_staff(connection_id: int, operation: str) -> Breaker:
    place = (connection_id, operation)
    Breaker.objects.bulk_create([Breaker(connection_id=connection_id, operation=operation)], ignore_conflicts=True)
    breaker = _locked(place)
    assert breaker is not None  # noqa: S101 - inserted above, never deleted
    return breaker


def _locked(place: Place) -> Breaker | None:
    rows = Breaker.objects.filter(connection_id=place[0], operation=place[1])
    return rows.select_related("connection__organization").select_for_update(of=("self",)).first()


def _move(breaker: Breaker, state: BreakerState, **changes: object) -> None:
    """One guarded UPDATE; calls from before it count no more."""
    breaker.move_to(state, epoch=breaker.epoch + 1, moved_at=Now(), **changes)


def _close(breaker: Breaker, reason: str, *, by: User | None = None) -> None:
    """Close, at staff's wish for good, and let go what waited; the caller holds the row's lock."""
    changes = {"reason": reason, "forced": by is not None, "probe_at": None, "probe_until": None, "quiet_until": None}
    if breaker.state == BreakerState.CLOSED:
        Breaker.objects.filter(pk=breaker.pk).update(**changes, epoch=breaker.epoch + 1, moved_at=Now())
    else:
        _move(breaker, BreakerState.CLOSED, **changes)
    _tell(breaker, "forced_closed" if by else "closed", BreakerState.CLOSED, reason=reason, by=by)
    clear_alert(breaker.connection.organization, ALERT, str(breaker))
    queueing.wake(breaker.connection, breaker.operation)


def _alert(breaker: Breaker, words: str) -> None:
    connection = breaker.connection
    words = f"{connection.name}: {breaker.operation} is held. {words} What is due waits and goes out by itself."
    raise_alert(connection.organization, ALERT, str(breaker), words)


def _tell(breaker: Breaker, verb: str, state: str, *, reason: str, by: User | None = None) -> None:
    record(
        f"integrations.breaker.{verb}",
        actor=Actor.person(by) if by else Actor.desk("breaker"),
        organization_id=breaker.connection.organization_id,
        subject=("connection", breaker.connection_id),
        after={"operation": breaker.operation, "state": state},
        reason=reason,
    )
