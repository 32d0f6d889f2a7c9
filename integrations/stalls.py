"""What waits outside: uncertain actions, open breakers, differences, payments to read again, and lost notices."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Permission
from accounts.veils import unveiled
from integrations.breakers import ALERT
from integrations.health import ANSWERED
from integrations.models import Action, Break, Breaker, Call, Notice, Payment
from integrations.notices import lost
from integrations.states import ActionState, BreakerState
from opsdesk.lib.wording import plain
from workflows.models import Alert
from workflows.waits import GRACE, Help, Look, Waiting, WaitingKind, add_waiting_kind, tell_elsewhere

# Within this somebody will have looked at a difference.
UNSETTLED_LONG = timedelta(days=1)
# After this a notice that did not arrive is of no use any more.
UNREAD_LONG = timedelta(days=7)
_SENT_BY_DESK = {
    ActionState.RESERVED: "not sent yet",
    ActionState.SENDING: "being sent",
    ActionState.UNKNOWN: "answer unknown",
    ActionState.SUCCEEDED: "accepted, not verified",
}


def _connections() -> str:
    return reverse("integrations:connections")


def _actions(look: Look) -> QuerySet[Any]:
    """What was to be done outside and is not yet seen there."""
    rows = Action.objects.visible_to(look.member).filter(due_at__isnull=False)
    if not look.everything:
        rows = rows.filter(created_at__lt=look.now - GRACE)
    return rows.select_related("connection", "case").order_by("created_at")


def _tell_action(row: Action, look: Look) -> Waiting:
    run, connection = reverse("workflows:run", args=[row.run_id]), row.connection
    paused = not (connection.enabled and connection.acting_enabled)
    return Waiting(
        title=f"{plain(row.operation)}: {_SENT_BY_DESK[ActionState(row.state)]}",
        url=reverse("approvals:case", args=[row.case_id]),
        detail=f"CASE-{row.case_id}, {row.amount}" if row.amount else f"CASE-{row.case_id}",
        reason=_why_not_sent(row, paused=paused),
        since=row.first_sent_at or row.created_at,
        help=Help("Open the connection", _connections()) if paused else Help("See its calls", run),
        sort=row.operation,
        by_desk=True,
        amount=row.amount,
    )


def _why_not_sent(action: Action, *, paused: bool) -> str:
    if paused:
        return f"Sending through {action.connection} is paused. {action.connection.paused_reason}".strip()
    tries = f"asked {action.attempts} time{'' if action.attempts == 1 else 's'}"
    if action.state == ActionState.UNKNOWN:
        return f"{action.message or 'No answer.'} It was {tries}, and is asked again."
    if action.attempts == 0:
        return "No worker has sent it yet."
    return action.message or f"It was {tries}."


def _verified(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Action.objects.filter(
        state=ActionState.VERIFIED,
        operation=sort,
        case__organization_id=member.organization_id,
        case__closed_at__gte=since,
    )
    return rows.order_by("-case__closed_at").values(took=F("verified_at") - F("created_at"))


def _breakers(look: Look) -> QuerySet[Any]:
    """Breakers that hold calls back. Each try moves the breaker, so it is open since its alert was raised."""
    subject = Concat(OuterRef("connection__slug"), Value("/"), OuterRef("operation"))
    alerts = Alert.objects.filter(
        organization=OuterRef("connection__organization"), kind=ALERT, subject=subject, cleared_at=None
    )
    rows = Breaker.objects.visible_to(look.member).exclude(state=BreakerState.CLOSED)
    opened = Coalesce(Subquery(alerts.values("since")[:1]), "moved_at")
    return rows.annotate(opened=opened).select_related("connection").order_by("opened", "pk")


def _tell_breaker(row: Any, look: Look) -> Waiting:
    page = reverse("integrations:connection", args=[row.connection_id])
    return Waiting(
        title=f"{row.connection.name}: {row.operation} is held",
        url=page,
        detail="held by staff" if row.forced else row.get_state_display(),
        reason=row.reason,
        since=row.opened or look.now,
        help=Help("Open the connection", page),
        by_desk=not row.forced,
    )


def _outages(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Alert.objects.filter(organization_id=member.organization_id, kind=ALERT, cleared_at__gte=since)
    return rows.order_by("-pk").values(took=F("cleared_at") - F("since"))


def _breaks(look: Look) -> QuerySet[Any]:
    """Differences between the desk and a gateway that nobody has settled within a day."""
    rows = Break.objects.visible_to(look.member).open().select_related("connection").order_by("pk")
    return rows if look.everything else rows.filter(found_at__lt=look.now - UNSETTLED_LONG)


def _tell_break(row: Break, look: Look) -> Waiting:
    page = reverse("integrations:difference", args=[row.pk])
    amount = row.theirs or row.ours
    return Waiting(
        title=row.get_kind_display(),
        url=page,
        detail=", ".join(filter(None, [row.reference, str(amount) if amount else ""])),
        reason=row.words,
        since=row.found_at,
        help=Help("Settle it" if look.member.may(Permission.REPAIR) else "Look at it", page),
        amount=amount,
    )


def _settled(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Break.objects.visible_to(member).filter(closed_at__gte=since)
    return rows.order_by("-pk").values(took=F("closed_at") - F("found_at"))


def _payments(look: Look) -> QuerySet[Any]:
    """Payments of which news came and that could not be read again; they wait since they were last read."""
    last = Call.objects.filter(connection=OuterRef("connection")).order_by("-pk").values("outcome")[:1]
    mine = Payment.objects.filter(organization_id=look.member.organization_id, reread_at__isnull=False)
    if not look.everything:
        # A mark in the future was set by a try: that one went wrong when the connection does not answer.
        mine = mine.annotate(answer=Subquery(last)).filter(Q(reread_at__lt=look.now - GRACE) | ~Q(answer__in=ANSWERED))
    return mine.select_related("connection").order_by("reread_at")


def _tell_payment(row: Payment, look: Look) -> Waiting:
    return Waiting(
        title=row.reference,
        url=_connections(),
        detail=f"{row.connection}, {row.captured} captured",
        reason="The gateway sent news of it and could not be asked since; the desk tries again.",
        since=row.read_at or row.reread_at or look.now,
        help=Help("Open the connection", _connections()),
        by_desk=True,
    )


def _lost_notices(look: Look) -> QuerySet[Any]:
    """Notices of the last week that reached nobody over any way, and were not read in the app."""
    rows = lost.nowhere().filter(organization_id=look.member.organization_id, created_at__gt=look.now - UNREAD_LONG)
    return unveiled(rows, look.member).select_related("recipient", "chat").order_by("created_at", "pk")


def _tell_lost_notice(row: Notice, look: Look) -> Waiting:
    manages = look.member.may(Permission.MANAGE)
    again = Help("Send it again", reverse("integrations:send_again", args=[row.pk]), posts=True)
    return Waiting(
        title=f"To {row.whom}",
        url=row.path,
        detail=row.subject,
        reason=f"It did not arrive by {row.way}. {row.message}",
        since=row.created_at,
        help=again if manages else Help("Open what it is about", row.path),
        owner=row.recipient,
    )


def register() -> None:
    """Have the board show these."""
    minute = timedelta(minutes=1)
    for kind in (
        WaitingKind("money", "Work under way outside", "banknote", minute, _actions, _tell_action, _verified),
        WaitingKind("breakers", "Open breakers", "plug", timedelta(minutes=5), _breakers, _tell_breaker, _outages),
        WaitingKind("differences", "Differences", "scale", UNSETTLED_LONG, _breaks, _tell_break, _settled),
        WaitingKind("notices", "Notices that reached nobody", "bell-off", minute, _lost_notices, _tell_lost_notice),
        WaitingKind("payments", "Payments to read again", "refresh-cw", minute, _payments, _tell_payment),
    ):
        add_waiting_kind(kind)
    # A run whose action is held stands among the work under way.
    tell_elsewhere("runs", lambda: Q(Exists(Action.objects.filter(run=OuterRef("pk"), due_at__isnull=False))))
