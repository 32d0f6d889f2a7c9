"""How connections are doing, told by their last calls, what waits to be sent, and what last arrived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, Count, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat, JSONObject
from django.utils.dateparse import parse_datetime

from accounts.models import Membership
from integrations.holds import Hold, current
from integrations.models import Action, Call, Connection, Endpoint
from integrations.states import ACTION_IN_DOUBT, ActionState, HoldKind
from workflows.models import Event, Run
from workflows.states import FailureKind, RunState

LOOKED_AT = 50  # last calls that health is told from
# Endpoints are looked up among the latest events only: a silent one must not cost a walk through all.
_LATEST_EVENTS = 20_000
# How an event names the endpoint it came through.
_SOURCE = Concat(OuterRef("organization__slug"), Value("/"), OuterRef("slug"), output_field=CharField())
# A refusal is an answer: the system works, the request was wrong. The other outcomes mean that it does not.
ANSWERED = ("ok", FailureKind.DATA)


@dataclass(frozen=True, slots=True)
class Health:
    """One connection as the desk sees it now. `tone` and `words` say it in short."""

    connection: Connection
    calls: int
    failed: int
    milliseconds: int | None
    last_at: datetime | None
    last_ok_at: datetime | None
    last_message: str
    waiting: int
    in_doubt: int
    holds: Sequence[Hold] = ()

    @property
    def error_share(self) -> int:
        """Failed calls of the last ones, in per cent."""
        return round(100 * self.failed / self.calls) if self.calls else 0

    @property
    def down(self) -> bool:
        """Whether its very last call was not answered."""
        return bool(self.last_message)

    @property
    def tone(self) -> str:
        """ok, warn, danger, or nothing for what is paused or silent."""
        if any(hold.kind == HoldKind.BREAKER for hold in self.holds):
            return "danger"
        if not self.connection.enabled or not self.connection.acting_enabled or not self.calls or self.holds:
            return ""
        if self.down and self.error_share >= 50:
            return "danger"
        return "warn" if self.down or self.error_share >= 10 else "ok"

    @property
    def icon(self) -> str:
        """The shape that goes with the tone."""
        if self.holds and not self.tone:
            return "circle-pause"
        return {"ok": "circle-check", "warn": "triangle-alert", "danger": "circle-x"}.get(self.tone, "circle-minus")

    @property
    def words(self) -> str:
        """Its state in a few words."""
        if not self.connection.enabled:
            return "switched off"
        if not self.connection.acting_enabled:
            return "sending is paused"
        if self.holds:
            return ", ".join(dict.fromkeys(hold.kind.label for hold in self.holds))
        if not self.calls:
            return "only sends to us" if not self.connection.base_url else "not called yet"
        if self.tone == "danger":
            return "fails"
        return "working" if self.tone == "ok" else f"{self.failed} of {self.calls} calls failed"


def healths(membership: Membership) -> list[Health]:
    """Every connection of the member's organization, in as many statements however many calls there were."""
    mine = Call.objects.filter(connection=OuterRef("pk")).order_by("-pk")
    # Scalar subqueries on indexes: the calls by connection, the few actions that are due or in doubt.
    rows = (
        Connection.objects.visible_to(membership)
        .annotate(
            last_calls=ArraySubquery(
                mine.values(
                    told=JSONObject(outcome="outcome", milliseconds="milliseconds", at="at", message="message")
                )[:LOOKED_AT]
            ),
            last_ok_at=Subquery(mine.filter(outcome__in=ANSWERED).values("at")[:1]),
            waiting=_count_of(Action.objects.filter(state=ActionState.RESERVED, due_at__isnull=False))
            + _runs_waiting(),
            in_doubt=_count_of(Action.objects.filter(state__in=ACTION_IN_DOUBT)),
        )
        .defer("secret")
        .order_by("name")
    )
    held = current()
    return [_health(row, row.last_calls, [hold for hold in held if hold.connection.pk == row.pk]) for row in rows]


def _runs_waiting() -> Coalesce:
    """Runs that wait for the connection and have planned nothing yet."""
    runs = Run.objects.filter(
        organization=OuterRef("organization"), state=RunState.WAITING, wake_at__isnull=False,
        waits_on__startswith=Concat(OuterRef("slug"), Value("/"), output_field=CharField()),
    )  # fmt: skip
    counted = runs.order_by().values("organization").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n"), output_field=IntegerField()), 0)


def _count_of(actions: QuerySet[Action]) -> Coalesce:
    counted = actions.filter(connection=OuterRef("pk")).order_by().values("connection").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n"), output_field=IntegerField()), 0)


def _health(connection: Any, calls: Sequence[Mapping[str, Any]], holds: Sequence[Hold]) -> Health:
    failed = [call for call in calls if call["outcome"] not in ANSWERED]
    last = calls[0] if calls else None
    return Health(
        connection=connection,
        calls=len(calls),
        failed=len(failed),
        milliseconds=round(median(call["milliseconds"] for call in calls)) if calls else None,
        last_at=parse_datetime(last["at"]) if last else None,
        last_ok_at=connection.last_ok_at,
        last_message=(last["message"] or last["outcome"]) if last and last in failed else "",
        waiting=connection.waiting,
        in_doubt=connection.in_doubt,
        holds=holds,
    )


def endpoints(membership: Membership) -> QuerySet[Endpoint]:
    """The doors outside systems knock at, each with the moment of the last event among the latest ones (`last_at`)."""
    newest = Event.objects.order_by("-pk").values("pk")[:1]
    arrived = (
        Event.objects.filter(source=_SOURCE)
        .filter(pk__gt=Subquery(newest) - _LATEST_EVENTS)
        .order_by()
        .values("source")
        .annotate(last=Max("received_at"), quarantined=Count("pk", filter=Q(state="quarantined")))
    )
    return (
        Endpoint.objects.filter(organization_id=membership.organization_id)
        .select_related("connection", "organization")
        .annotate(last_at=Subquery(arrived.values("last")), quarantined=Subquery(arrived.values("quarantined")))
        .defer("secret", "old_secret")
        .order_by("slug")
    )
