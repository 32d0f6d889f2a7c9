"""What waits in the engine: runs, failures without an owner, events, and drafts that were never published."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Permission
from workflows.models import Event, Failure, FailureItem, RuleSet, Run, StepRun, WorkflowVersion
from workflows.states import EventState, FailureState, RunState, VersionState, WaitsFor
from workflows.waits import GRACE, Help, Look, Waiting, WaitingKind, add_waiting_kind

# A pause that lasts longer may have been forgotten.
PAUSED_LONG = timedelta(days=1)
# Older quarantined events are no longer news; they stay on the failures page.
EVENTS_SINCE = timedelta(days=7)
# A draft that nobody publishes for so long may have been forgotten.
DRAFT_LONG = timedelta(days=3)
# Reviews and actions tell of these runs themselves.
_TOLD_ELSEWHERE = (WaitsFor.REVIEW, WaitsFor.ACTION)
_TRIED_AGAIN = (WaitsFor.RETRY, WaitsFor.CONNECTION)


def _runs(look: Look) -> QuerySet[Any]:
    """Runs that wait for a system or another try, that no worker takes, and that somebody paused long ago."""
    before = look.now - GRACE
    at_rest = Q(state__in=[RunState.READY, RunState.WAITING])
    which = (
        Q(state=RunState.WAITING, waits_for__in=_TRIED_AGAIN, paused_at=None, waiting_since__lt=before)
        | (at_rest & Q(wake_at__lt=before, paused_at=None))
        | (at_rest & Q(paused_at__lt=look.now - PAUSED_LONG))
        | Q(state=RunState.RUNNING, lease_until__lt=before)
    )
    if look.everything:
        which |= Q(state=RunState.WAITING) & ~Q(waits_for__in=_TOLD_ELSEWHERE)
        which |= at_rest & Q(paused_at__isnull=False)
    rows = Run.objects.visible_to(look.member).filter(which)
    return rows.select_related("case").defer("facts", "case__data").order_by("pk")


def _tell_run(run: Run, look: Look) -> Waiting:
    words = {
        RunState.READY: "No worker has taken it.",
        RunState.RUNNING: "Its worker is gone; the sweeper gives it back.",
    }
    return Waiting(
        title=f"RUN-{run.pk}",
        url=reverse("workflows:run", args=[run.pk]),
        detail=f"{run.case}, {run.case.who}",
        reason=f"Paused by {run.paused_why}" if run.paused_at else words.get(RunState(run.state), run.reason),
        since=run.paused_at or _since(run),
        help=_help_run(run, may_repair=look.member.may(Permission.REPAIR)),
        by_desk=run.paused_at is None,
    )


def _since(run: Run) -> datetime:
    moments = {RunState.WAITING: run.waiting_since, RunState.READY: run.wake_at, RunState.RUNNING: run.lease_until}
    return moments[RunState(run.state)] or run.started_at


def _help_run(run: Run, *, may_repair: bool) -> Help:
    page = reverse("workflows:run", args=[run.pk])
    if run.paused_at is not None and may_repair:
        return Help("Let it go on", reverse("workflows:resume", args=[run.pk]), True, "Paused for too long.")
    if run.paused_at is None and run.state == RunState.WAITING:
        if run.waits_for == WaitsFor.CONNECTION:
            return Help("Open the connection", reverse("integrations:connections"))
        if run.waits_for == WaitsFor.RETRY and may_repair:
            return Help("Try it now", reverse("workflows:retry", args=[run.pk]), True, "It waited for too long.")
    return Help("Open the run", page)


def _waits_that_ended(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    """From the first word of waiting at a step to what came of it; consent is measured by its reviews."""
    later = StepRun.objects.filter(run=OuterRef("run"), position=OuterRef("position"), pk__gt=OuterRef("pk"))
    came = later.exclude(outcome=StepRun.Outcome.WAITING).order_by("pk").values("at")[:1]
    waited = StepRun.objects.filter(run__organization_id=member.organization_id, at__gte=since)
    waited = waited.filter(outcome=StepRun.Outcome.WAITING).exclude(kind="approve")
    return waited.order_by("-pk").values(took=Subquery(came) - F("at"))


def _failures(look: Look) -> QuerySet[Any]:
    """Failures that nobody has taken on; with all others that nobody resolved, where everything is asked for."""
    stopped = Count("items", filter=Q(items__repaired_at=None, items__run__state=RunState.FAILED))
    rows = Failure.objects.visible_to(look.member).pressing()
    if not look.everything:
        rows = rows.filter(state=FailureState.OPEN, owner=None)
    return rows.select_related("owner").annotate(stopped=stopped).order_by("first_at")


def _tell_failure(row: Any, look: Look) -> Waiting:
    page = reverse("workflows:failure", args=[row.pk])
    take = Help("Take it on", reverse("workflows:acknowledge", args=[row.pk]), posts=True)
    can_take = row.owner is None and look.member.may(Permission.REPAIR)
    whose = f"{row.owner} looks after it." if row.owner else "Nobody has taken it on."
    return Waiting(
        title=row.message,
        url=page,
        detail=f"{row.workflow}, step {row.step}",
        reason=f"{row.stopped} run{'' if row.stopped == 1 else 's'} stopped. {whose}",
        since=row.first_at,
        help=take if can_take else Help("Open the failure", page),
        owner=row.owner,
    )


def _repairs(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = FailureItem.objects.filter(failure__organization_id=member.organization_id, repaired_at__gte=since)
    return rows.order_by("-pk").values(took=F("repaired_at") - F("at"))


def _events(look: Look) -> QuerySet[Any]:
    """Events that nobody could read, and events that nobody has looked at."""
    odd = Q(state=EventState.QUARANTINED, received_at__gt=look.now - EVENTS_SINCE)
    left = Q(state=EventState.RECEIVED, received_at__lt=look.now - GRACE)
    return Event.objects.visible_to(look.member).filter(odd | left).defer("body").order_by("pk")


def _tell_event(row: Event, look: Look) -> Waiting:
    unread = row.state == EventState.RECEIVED
    quarantine = f"{reverse('workflows:quarantine')}?before={row.pk + 1}"
    page = reverse("workflows:runs") if unread else quarantine
    return Waiting(
        title=f"Event {row.pk}",
        url=page,
        detail=row.source,
        reason="No worker has looked at it." if unread else row.reason,
        since=row.received_at,
        help=Help("See the runs" if unread else "Read it", page),
        by_desk=unread,
    )


def _looked_at(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Event.objects.visible_to(member).filter(received_at__gte=since, looked_at__isnull=False)
    return rows.order_by("-pk").values(took=F("looked_at") - F("received_at"))


def drafts_of(model: Any) -> Any:
    """The rows of a kind of drafts, for the board: those of an edition's model that nobody has published."""

    def rows(look: Look) -> QuerySet[Any]:
        if not look.member.may(Permission.CONFIGURE):
            # Whoever may not publish cannot help.
            return cast("QuerySet[Any]", model.objects.none())
        found = model.objects.filter(
            workflow__organization_id=look.member.organization_id, state=VersionState.DRAFT
        ).select_related("workflow", "edited_by")
        late = found if look.everything else found.filter(drafted_at__lt=look.now - DRAFT_LONG)
        return cast("QuerySet[Any]", late.order_by("drafted_at"))

    return rows


def tell_draft(row: Any, look: Look) -> Waiting:
    """A draft of any kind, with the page on which it is compared and published."""
    options = row._meta
    page = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
    return Waiting(
        title=str(row),
        url=page,
        detail=f"{row.workflow.name}, {options.verbose_name}",
        reason="Drafted and never published: nothing of it is in force.",
        since=row.drafted_at,
        help=Help("Publish or discard", page),
        owner=getattr(row, "edited_by", None),
    )


def publishing_took(model: Any) -> Any:
    """How long editions of a kind were drafts."""

    def took(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
        rows = model.objects.filter(workflow__organization_id=member.organization_id, published_at__isnull=False)
        return cast("QuerySet[Any]", rows.order_by("-pk").values(took=F("published_at") - F("drafted_at")))

    return took


def draft_kind(key: str, label: str, model: Any) -> WaitingKind:
    """The kind under which drafts of a model wait."""
    return WaitingKind(key, label, "file-text", DRAFT_LONG, drafts_of(model), tell_draft, publishing_took(model))


def register() -> None:
    """Have the board show these."""
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    for kind in (
        WaitingKind("runs", "Runs", "activity", minute, _runs, _tell_run, _waits_that_ended),
        WaitingKind(
            "failures", "Failures without an owner", "triangle-alert", hour, _failures, _tell_failure, _repairs
        ),
        WaitingKind("events", "Events", "mail", minute, _events, _tell_event, _looked_at),
        draft_kind("versions", "Drafts of workflows", WorkflowVersion),
        draft_kind("rules", "Drafts of rules", RuleSet),
    ):
        add_waiting_kind(kind)
