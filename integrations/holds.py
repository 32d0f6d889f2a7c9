"""What keeps a connection, or one operation of it, from being called now: said in words, read before every try."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Prefetch, Q

from integrations.models import Breaker, Connection, MaintenanceWindow, OperationSwitch
from integrations.states import BreakerState, HoldKind
from opsdesk.lib.database import is_lost

log = structlog.get_logger(__name__)

# Reading payments and lists, for facts or because of news, is one operation of every connection.
READ = "read"


@dataclass(frozen=True, slots=True)
class Hold:
    """One thing that holds work back. Without `operation` it holds all of the connection; `until` may be unknown."""

    connection: Connection
    kind: HoldKind
    words: str
    operation: str = ""
    until: datetime | None = None
    breaker: Breaker | None = None

    @property
    def stops_reading(self) -> bool:
        """Whether reading is held as well: kill switches for acting let it go on."""
        return self.kind not in (HoldKind.PAUSED, HoldKind.OPERATION_OFF)

    def covers(self, connection_id: int, operation: str) -> bool:
        """Whether it holds this operation; READ is one."""
        if connection_id != self.connection.pk or (operation == READ and not self.stops_reading):
            return False
        return self.operation in ("", operation)


def current() -> list[Hold]:
    """Everything that holds work back now, of all organizations; one statement while there is nothing.

    Where breakers cannot be read they hold nothing: calls go out, within limits and retry budget.
    """
    try:
        return _read(with_breakers=True)
    except DatabaseError as error:
        if is_lost(error):
            raise
        log.warning("breakers_not_read", error=str(error))
        return _read(with_breakers=False)


def of(connection: Connection) -> list[Hold]:
    """What holds one connection back, as `current` says it."""
    return [hold for hold in current() if hold.connection.pk == connection.pk]


def _read(*, with_breakers: bool) -> list[Hold]:
    mine = {"connection": OuterRef("pk")}
    held = Q(enabled=False) | Q(acting_enabled=False)
    held |= Q(Exists(MaintenanceWindow.objects.open_now().filter(**mine)))
    held |= Q(Exists(OperationSwitch.objects.filter(**mine)))
    if with_breakers:
        held |= Q(Exists(Breaker.objects.holding().filter(**mine)))
    rows = Connection.objects.filter(held).select_related("organization").order_by("pk")
    rows = rows.prefetch_related(
        Prefetch("windows", MaintenanceWindow.objects.open_now(), to_attr="open_windows"), "switches__by"
    )
    if with_breakers:
        rows = rows.prefetch_related(Prefetch("breakers", Breaker.objects.holding(), to_attr="holding_breakers"))
    return [hold for row in rows for hold in _of(row)]


def _of(connection: Connection) -> Iterator[Hold]:
    name = connection.name
    if not connection.enabled:
        yield Hold(connection, HoldKind.OFF, f"{name} is switched off.")
    elif not connection.acting_enabled:
        words = f"Sending through {name} is switched off. {connection.paused_reason}".strip()
        yield Hold(connection, HoldKind.PAUSED, words)
    windows: list[MaintenanceWindow] = getattr(connection, "open_windows", [])
    for window in windows:
        words = f"{name} is under maintenance until {_clock(connection, window.ends_at)}: {window.reason}"
        yield Hold(connection, HoldKind.WINDOW, words, until=window.ends_at)
    for switch in connection.switches.all():
        words = off_words(connection, switch)
        yield Hold(connection, HoldKind.OPERATION_OFF, words, operation=switch.operation)
    breakers: list[Breaker] = getattr(connection, "holding_breakers", [])
    for breaker in breakers:
        yield _of_breaker(connection, breaker)


def off_words(connection: Connection, switch: OperationSwitch) -> str:
    """Who switched an operation off, and why."""
    operation = switch.operation.capitalize()
    return f"{operation} through {connection.name} was switched off by {switch.by}: {switch.reason}"


def _of_breaker(connection: Connection, breaker: Breaker) -> Hold:
    name, operation = connection.name, breaker.operation
    until = breaker.probe_at or breaker.probe_until
    if breaker.state == BreakerState.CLOSED:
        until = breaker.quiet_until
        words = f"{name} asked us to stay away until {_clock(connection, until, seconds=True)}."
        return Hold(connection, HoldKind.QUIET, words, operation, until)
    if breaker.forced:
        words = f"{operation.capitalize()} through {name} is held by staff: {breaker.reason}"
    else:
        words = f"{name} is in trouble: {breaker.reason} What is due waits; one call at a time finds out."
    return Hold(connection, HoldKind.BREAKER, words, operation, until, breaker)


def _clock(connection: Connection, at: datetime | None, *, seconds: bool = False) -> str:
    """A moment in the organization's own time."""
    if at is None:
        return "later"
    local = at.astimezone(ZoneInfo(connection.organization.time_zone))
    return f"{local:%H:%M:%S}" if seconds else f"{local:%d %b %H:%M}"
