"""What waits longer than it should, kind by kind: each function finds the rows of one kind in one statement."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.urls import reverse

from accounts.models import Membership, User
from accounts.roles import Permission
from approvals.models import Review
from approvals.states import ReviewState
from integrations.health import ANSWERED
from integrations.models import Action, Call, Payment
from integrations.states import ActionState
from opsdesk.lib.money import Money
from workflows.models import Event, Failure, Run
from workflows.states import EventState, FailureState, RunState, Tier, WaitsFor

MOST = 200  # rows of one kind that are looked at, the longest waiting first
# What takes less than this is on its way.
GRACE = timedelta(minutes=2)
# A pause that lasts longer may have been forgotten.
PAUSED_LONG = timedelta(days=1)
# Older quarantined events are no longer news; they stay on the failures page.
EVENTS_SINCE = timedelta(days=7)
_SENT_BY_DESK = {
    ActionState.RESERVED: "Not sent yet",
    ActionState.SENDING: "Being sent",
    ActionState.UNKNOWN: "Answer unknown",
    ActionState.SUCCEEDED: "Accepted, not verified",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits. `owner` is a person, or None for nobody; `by_desk` says that the desk goes on with it."""

    title: str
    url: str
    detail: str
    reason: str
    since: datetime
    help_label: str
    help_url: str
    owner: User | None = None
    by_desk: bool = False
    amount: Money | None = None


def _to_connections() -> str:
    return reverse("integrations:connections")


def actions(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Money that was to go out and is not yet seen at the other side."""
    rows = (
        Action.objects.visible_to(member)
        .filter(due_at__isnull=False, created_at__lt=now - GRACE)
        .select_related("connection", "case")
        .order_by("created_at")
    )
    for row in rows[:MOST]:
        run, connection = reverse("workflows:run", args=[row.run_id]), row.connection
        paused = not (connection.enabled and connection.acting_enabled)
        yield Waiting(
            title=f"Refund: {_SENT_BY_DESK[ActionState(row.state)].lower()}",
            url=reverse("approvals:case", args=[row.case_id]),
            detail=f"CASE-{row.case_id}, {row.amount}",
            reason=_why_not_sent(row, paused=paused),
            since=row.first_sent_at or row.created_at,
            help_label="Open the connection" if paused else "See its calls",
            help_url=_to_connections() if paused else run,
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


def runs(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Runs that wait for a system or another try, runs that no worker takes, and runs that somebody paused long ago."""
    stuck = Q(state=RunState.WAITING, waits_for__in=[WaitsFor.CONNECTION, WaitsFor.RETRY], paused_at=None)
    # A run whose action is held stands among the money under way.
    stuck &= Q(~Exists(Action.objects.filter(run=OuterRef("pk"), due_at__isnull=False)))
    rows = (
        Run.objects.visible_to(member)
        .filter(
            (stuck & Q(waiting_since__lt=now - GRACE))
            | Q(state__in=[RunState.READY, RunState.WAITING], wake_at__lt=now - GRACE, paused_at=None)
            | Q(paused_at__lt=now - PAUSED_LONG)
            | Q(state=RunState.RUNNING, lease_until__lt=now - GRACE)
        )
        .select_related("case")
        .defer("facts", "case__data")
        .order_by("pk")
    )
    for row in rows[:MOST]:
        yield _run(row)


def _run(run: Run) -> Waiting:
    to_run = reverse("workflows:run", args=[run.pk])
    held = run.state == RunState.WAITING and run.waits_for == WaitsFor.CONNECTION and run.paused_at is None
    words = {
        RunState.READY: "No worker has taken it.",
        RunState.RUNNING: "Its worker is gone; the sweeper gives it back.",
    }
    return Waiting(
        title=f"RUN-{run.pk}",
        url=to_run,
        detail=f"{run.case}, {run.case.who}",
        reason=f"Paused by {run.paused_why}" if run.paused_at else words.get(RunState(run.state), run.reason),
        since=run.paused_at or _since(run),
        help_label="Open the connection" if held else "Open the run",
        help_url=_to_connections() if held else to_run,
        by_desk=run.paused_at is None,
    )


def _since(run: Run) -> datetime:
    moments = {RunState.WAITING: run.waiting_since, RunState.READY: run.wake_at, RunState.RUNNING: run.lease_until}
    return moments[RunState(run.state)] or run.started_at


def reviews(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Reviews past their time, reviews on which nobody may vote, and decisions that no timer carried out."""
    rows = (
        Review.objects.visible_to(member)
        .filter(
            Q(state=ReviewState.OPEN, due_at__lt=now)
            | (Q(state=ReviewState.OPEN) & ~Q(blocked_reason=""))
            | Q(state__in=[ReviewState.APPROVING, ReviewState.REJECTING], settles_at__lt=now - GRACE)
        )
        .select_related("case", "assignee")
        .order_by("opened_at")
    )
    for row in rows[:MOST]:
        yield _review(row, _why_undecided(row, member), may_give=member.may(Permission.MANAGE))


def _why_undecided(review: Review, member: Membership) -> str:
    if review.state != ReviewState.OPEN:
        return f"{review.get_state_display()}; no timer has carried it out."
    if review.blocked_reason:
        return review.blocked_reason
    if review.assignee_id == member.user_id:
        return "It waits for you and is late."
    return f"{review.assignee} has it and it is late." if review.assignee else "Nobody has it and it is late."


def _review(review: Review, reason: str, *, may_give: bool = False) -> Waiting:
    case = reverse("approvals:case", args=[review.case_id])
    blocked = bool(review.blocked_reason) and may_give
    return Waiting(
        title=review.case.who,
        url=case,
        detail=f"{review.case}{f', {review.case.amount}' if review.case.amount else ''}",
        reason=reason,
        since=review.opened_at,
        help_label="Give it to somebody" if blocked else "Open the case",
        help_url=reverse("approvals:escalations") if blocked else case,
        owner=review.assignee,
        amount=review.case.amount,
    )


def windows(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Fast-track cases whose clock has not started, because no notice is known to have arrived."""
    rows = (
        Review.objects.visible_to(member)
        .filter(state=ReviewState.OPEN, tier=Tier.FAST_TRACK, objection_ends_at=None, opened_at__lt=now - GRACE)
        .select_related("case", "assignee")
        .order_by("opened_at")
    )
    for row in rows[:MOST]:
        yield _review(row, "The notice has not arrived, so its clock has not started.")


def failures(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Failures that nobody has taken on."""
    stopped = Count("items", filter=Q(items__repaired_at=None, items__run__state=RunState.FAILED))
    rows = (
        Failure.objects.visible_to(member)
        .filter(state=FailureState.OPEN, owner=None)
        .annotate(stopped=stopped)
        .order_by("first_at")
    )
    for row in rows[:MOST]:
        url = reverse("workflows:failure", args=[row.pk])
        yield Waiting(
            title=row.message,
            url=url,
            detail=f"{row.workflow}, step {row.step}",
            reason=f"{row.stopped} run{'' if row.stopped == 1 else 's'} stopped, and nobody has taken it on.",
            since=row.first_at,
            help_label="Take it on" if member.may(Permission.REPAIR) else "Open the failure",
            help_url=url,
        )


def events(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Events that nobody could read, and events that nobody has looked at."""
    rows = (
        Event.objects.visible_to(member)
        .filter(
            Q(state=EventState.QUARANTINED, received_at__gt=now - EVENTS_SINCE)
            | Q(state=EventState.RECEIVED, received_at__lt=now - GRACE)
        )
        .defer("body")
        .order_by("pk")
    )
    for row in rows[:MOST]:
        unread = row.state == EventState.RECEIVED
        quarantine = f"{reverse('workflows:quarantine')}?before={row.pk + 1}"
        yield Waiting(
            title=f"Event {row.pk}",
            url=reverse("workflows:runs") if unread else quarantine,
            detail=row.source,
            reason="No worker has looked at it." if unread else row.reason,
            since=row.received_at,
            help_label="See the runs" if unread else "Read it",
            help_url=reverse("workflows:runs") if unread else quarantine,
            by_desk=unread,
        )


def payments(member: Membership, now: datetime) -> Iterator[Waiting]:
    """Payments of which news came and that could not be read again; they wait since they were last read."""
    last = Call.objects.filter(connection=OuterRef("connection")).order_by("-pk").values("outcome")[:1]
    mine = Payment.objects.filter(organization_id=member.organization_id, reread_at__isnull=False)
    rows: Any = (
        mine.annotate(answer=Subquery(last))
        # A mark in the future was set by a try: that one went wrong when the connection does not answer.
        .filter(Q(reread_at__lt=now - GRACE) | ~Q(answer__in=ANSWERED))
        .select_related("connection")
        .order_by("reread_at")
    )
    for row in rows[:MOST]:
        yield Waiting(
            title=row.reference,
            url=_to_connections(),
            detail=f"{row.connection}, {row.captured} captured",
            reason="The gateway sent news of it and could not be asked since; the desk tries again.",
            since=row.read_at or row.reread_at,
            help_label="Open the connection",
            help_url=_to_connections(),
            by_desk=True,
        )
