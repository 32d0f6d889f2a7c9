"""What waits for people: reviews, clocks that have not started, unanswered questions, and drafts of thresholds."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.urls import reverse

from accounts.models import Membership
from accounts.roles import Permission
from approvals.models import Policy, Question, Review, SecondOpinion, Setback
from approvals.states import REVIEW_FINAL, QuestionState, ReviewState, Timer
from integrations.models import Notice
from integrations.states import NoticeState
from opsdesk.lib.wording import visible
from workflows.stalls import draft_kind
from workflows.states import Tier
from workflows.waits import GRACE, Help, Look, Waiting, WaitingKind, add_waiting_kind, tell_elsewhere

# Requesters are given a day before anybody looks after what they were asked.
_ANSWER_TIME = timedelta(days=1)
# A second opinion is nobody's first work.
_LOOK_TIME = timedelta(days=3)
_SETTLING = [ReviewState.APPROVING, ReviewState.REJECTING]
# What is so while a timer stands.
_MEANWHILE = {
    Timer.SETTLE: "The decision has no effect yet.",
    Timer.LEAVE: "It stays where it is.",
    Timer.WINDOW: "Its clock stands.",
    Timer.UNTOLD: "Nobody is asked.",
    Timer.WAKE: "It stays put off.",
    Timer.GIVE: "Nobody is given it.",
    Timer.LADDER: "Nobody is reminded of it.",
}


def _reviews(look: Look) -> QuerySet[Any]:
    """Reviews past their time, reviews on which nobody may vote, and decisions that no timer carried out."""
    waits = Q(state=ReviewState.OPEN)
    if look.everything:
        # Those whose clock has not started, or runs, are of another kind while they are in time.
        waits &= Q(tier=Tier.FULL_REVIEW) | Q(due_at__lt=look.now) | ~Q(blocked_reason="")
    else:
        waits &= Q(due_at__lt=look.now) | ~Q(blocked_reason="")
    left = Q(state__in=_SETTLING, settles_at__lt=look.now - GRACE)
    rows = Review.objects.visible_to(look.member).filter(waits | left)
    return rows.select_related("case", "assignee").order_by("opened_at")


def _tell_review(row: Review, look: Look) -> Waiting:
    return _told(row, look, _why_undecided(row, look))


def _why_undecided(review: Review, look: Look) -> str:
    if review.state != ReviewState.OPEN:
        return f"{review.get_state_display()}; no timer has carried it out."
    if review.blocked_reason:
        return review.blocked_reason
    late = " and is late" if review.due_at < look.now else ""
    if review.assignee_id == look.member.user_id:
        return f"It waits for you{late}."
    whose = f"{review.assignee} has it" if review.assignee else "Nobody has it"
    return f"{whose}{late.replace('and is', 'and it is')}."


def _told(review: Review, look: Look, reason: str) -> Waiting:
    case = reverse("approvals:case", args=[review.case_id])
    blocked = bool(review.blocked_reason) and look.member.may(Permission.MANAGE)
    give = Help("Give it to somebody", reverse("approvals:escalations"))
    return Waiting(
        title=review.case.who,
        url=case,
        detail=f"{review.case}{f', {review.case.amount}' if review.case.amount else ''}",
        reason=reason,
        since=review.opened_at,
        help=give if blocked else Help("Open the case", case),
        sort=review.tier,
        owner=review.assignee,
        amount=review.case.amount,
    )


def _decided(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Review.objects.filter(
        state__in=REVIEW_FINAL, tier=sort, case__organization_id=member.organization_id, case__closed_at__gte=since
    )
    return rows.order_by("-case__closed_at").values(took=F("closed_at") - F("opened_at"))


def _windows(look: Look) -> QuerySet[Any]:
    """Fast-track cases whose clock has not started, because no notice is known to have arrived."""
    waits = Q(state=ReviewState.OPEN, tier=Tier.FAST_TRACK, objection_ends_at=None)
    if not look.everything:
        waits &= Q(opened_at__lt=look.now - GRACE)
    rows = Review.objects.visible_to(look.member).filter(waits)
    return rows.select_related("case", "assignee").order_by("opened_at")


def _tell_window(row: Review, look: Look) -> Waiting:
    return _told(row, look, "The notice has not arrived, so its clock has not started.")


def _delivered(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Notice.objects.outward().filter(
        state=NoticeState.DELIVERED,
        case__organization_id=member.organization_id,
        case__closed_at__gte=since,
    )
    return rows.order_by("-case__closed_at").values(took=F("delivered_at") - F("created_at"))


def _timers(look: Look) -> QuerySet[Any]:
    """Timers of reviews that broke too often: what they do is not done until somebody lets them go on."""
    stands = Setback.objects.visible_to(look.member).standing()
    return stands.select_related("review__case", "review__assignee").order_by("broke_at", "pk")


def _tell_timer(row: Setback, look: Look) -> Waiting:
    told = _told(row.review, look, f"{row.problem} {_MEANWHILE[Timer(row.timer)]}")
    told = replace(told, since=row.broke_at, sort="")
    if not look.member.may(Permission.MANAGE):
        return told
    again = Help("Let it go on", reverse("approvals:resume_timer", args=[row.pk]), posts=True)
    return replace(told, help=again)


def _stands(*timers: Timer) -> Q:
    """Reviews of which one of these timers stands."""
    return Q(Exists(Setback.objects.standing().filter(review=OuterRef("pk"), timer__in=timers)))


def _questions(look: Look) -> QuerySet[Any]:
    """Questions that a requester leaves unanswered for longer than usual, or can no longer answer."""
    rows = Question.objects.visible_to(look.member).open()
    if not look.everything:
        rows = rows.filter(Q(asked_at__lt=look.now - _ANSWER_TIME) | Q(expires_at__lte=look.now))
    return rows.select_related("case", "asked_by")


def _tell_question(row: Question, look: Look) -> Waiting:
    case = reverse("approvals:case", args=[row.case_id])
    help_ = Help("Open the case", case)
    reason = "No answer yet"
    if row.expires_at <= look.now:
        reason = "The link for the answer has expired"
        if look.member.may(Permission.DECIDE):
            help_ = Help("Make a new link", reverse("approvals:new_link", args=[row.case_id]), posts=True)
    return Waiting(
        title=row.case.who,
        url=case,
        detail=f"{row.case}{f', {row.case.amount}' if row.case.amount else ''}",
        reason=f"{reason}. {row.asked_by} asked: {visible(row.text, at_most=120)}",
        since=row.asked_at,
        help=help_,
        owner=row.asked_by,
        amount=row.case.amount,
    )


def _answered(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = Question.objects.visible_to(member).filter(state=QuestionState.ANSWERED, closed_at__gte=since)
    return rows.order_by("-pk").values(took=F("closed_at") - F("asked_at"))


def _second_opinions(look: Look) -> QuerySet[Any]:
    """Second opinions that nobody has given, for whoever was asked and for managers."""
    rows = SecondOpinion.objects.filter(organization_id=look.member.organization_id).open()
    if not look.member.may(Permission.MANAGE):
        rows = rows.visible_to(look.member)
    late = rows if look.everything else rows.filter(asked_at__lt=look.now - _LOOK_TIME)
    return late.select_related("review__case", "asked").order_by("asked_at", "pk")


def _tell_second_opinion(row: SecondOpinion, look: Look) -> Waiting:
    case = row.review.case
    mine = row.asked_id == look.member.user_id
    page = reverse("approvals:second_opinion", args=[row.pk]) if mine else reverse("approvals:case", args=[case.pk])
    return Waiting(
        title=case.who,
        url=page,
        detail=str(case.amount or ""),
        reason=f"{row.asked} was asked how they would decide, and has not answered.",
        since=row.asked_at,
        help=Help("Answer it" if mine else "Open the case", page),
        owner=row.asked,
    )


def _judged(member: Membership, since: datetime, sort: str) -> QuerySet[Any, Any]:
    rows = SecondOpinion.objects.filter(organization_id=member.organization_id, answered_at__gte=since)
    return rows.order_by("-answered_at").values(took=F("answered_at") - F("asked_at"))


def register() -> None:
    """Have the board show these."""
    add_waiting_kind(WaitingKind("reviews", "Reviews", "inbox", timedelta(hours=4), _reviews, _tell_review, _decided))
    add_waiting_kind(
        WaitingKind("timers", "Timers that broke", "timer-off", timedelta(minutes=30), _timers, _tell_timer)
    )
    add_waiting_kind(
        WaitingKind("windows", "Objection windows", "timer", timedelta(minutes=1), _windows, _tell_window, _delivered)
    )
    add_waiting_kind(
        WaitingKind(
            "questions",
            "Questions",
            "message-circle-question-mark",
            _ANSWER_TIME,
            _questions,
            _tell_question,
            _answered,
        )
    )
    add_waiting_kind(
        WaitingKind("opinions", "Second opinions", "eye", _LOOK_TIME, _second_opinions, _tell_second_opinion, _judged)
    )
    add_waiting_kind(draft_kind("policies", "Drafts of thresholds", Policy))
    # Why they wait is told with the timer that stands.
    tell_elsewhere("reviews", lambda: _stands(Timer.SETTLE, Timer.LEAVE))
    tell_elsewhere("windows", lambda: _stands(Timer.WINDOW, Timer.UNTOLD))
