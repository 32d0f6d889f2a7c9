"""Opening reviews: who is asked, until when, and who is told."""

from collections.abc import Sequence
from datetime import timedelta

from django.urls import reverse

from accounts.calendar import hours_of
from accounts.models import Organization, Team, User
from approvals import rungs, skills, terms, turns, voters
from approvals.models import Review, TierSettings
from approvals.states import ReviewState
from auditlog.services import Actor, record
from integrations import notices
from opsdesk.lib import clock
from workflows.errors import StepFailed
from workflows.models import Case, Decision, Run
from workflows.states import FailureKind, Tier


def open_review(case: Case, run: Run, decision: Decision, *, actor: Actor) -> Review:
    """Ask people about a decided case, inside the transaction of its run. Raises StepFailed when no team is named."""
    tier = Tier(decision.tier)
    settings = TierSettings.objects.filter(organization_id=case.organization_id, tier=tier).first()
    if settings is None or not settings.stages.exists():
        raise StepFailed(
            FailureKind.DATA,
            f"The tier {tier.label} has no stage: name a team for it in the admin, then try again.",
        )
    organization = Organization.objects.get(pk=case.organization_id)
    hours = hours_of(organization)
    review = Review.objects.create(
        organization_id=case.organization_id,
        case=case,
        run=run,
        decision=decision,
        settings=settings,
        # One that leaves by itself can still become a full review: both are kept.
        terms=terms.kept(case.organization_id, {tier, Tier.FULL_REVIEW}),
        tier=tier,
        content_hash=decision.content_hash,
        due_at=hours.add(clock.now(), timedelta(minutes=settings.due_minutes)),
    )
    assign(review)
    rungs.begin(review)
    record(
        "approvals.review.opened",
        actor=actor,
        organization_id=case.organization_id,
        subject=("review", review.pk),
        case_id=case.pk,
        after={
            "tier": tier,
            "due_at": review.due_at.isoformat(),
            "assignee": str(review.assignee or "nobody"),
        },
        reason=decision.sentence,
    )
    if tier == Tier.FAST_TRACK:
        tell_of_departure(review, case)
    return review


def assign(review: Review) -> None:
    """Ask the review's present stage: somebody whose turn it is, or all of a team that takes its cases itself.

    Nobody who may vote means blocked and escalated. Where a team has a cap, `pushing.give_out` gives it shortly after,
    one at a time, so that nobody gets more.
    """
    stages = terms.stages_of(review)
    stage = stages[review.stage] if review.stage < len(stages) else None
    asked = voters.teams_asked(review, stage) if stage else []
    people = voters.eligible(review, stage) if stage else []
    whoever = voters.why_nobody(review, stage) if stage else f"The tier {review.settings} has no stage."
    review.asks = [team.pk for team in asked]
    review.assignee = _first(review, asked[0], people) if asked and people else None
    review.assigned_at = clock.now() if review.assignee else None
    review.blocked_reason = "" if people else whoever
    review.escalated_at = None if people else clock.now()
    review.save(update_fields=["asks", "assignee", "assigned_at", "blocked_reason", "escalated_at"])
    if not people:
        record(
            "approvals.review.blocked",
            actor=Actor.desk("approvals"),
            organization_id=review.organization_id,
            subject=("review", review.pk),
            case_id=review.case_id,
            reason=review.blocked_reason,
        )


def _first(review: Review, team: Team, people: Sequence[User]) -> User | None:
    if review.tier == Tier.FAST_TRACK:
        # It leaves by itself; it stands under the name of one of those who are told.
        return people[0]
    return turns.next_of(team, skills.fitting(review.case, people)) if team.cap is None else None


def tell_of_departure(review: Review, case: Case) -> None:
    """Tell the fast-track team; the objection clock starts only when a notice is known to have arrived."""
    stage = terms.stages_of(review)[0]
    minutes = terms.of(review).objection_minutes
    notices.tell(
        voters.eligible(review, stage),
        case=case,
        topic=f"leaving:{review.pk}",
        subject=f"{case.amount} to {case.who} leaves in {minutes} min unless you object",
        body=f"{case}, {case.who}: {case.amount}.\n{review.decision.sentence}\n"
        f"It is refunded {minutes} business minutes after this notice arrived, unless somebody objects.",
        path=reverse("approvals:case", args=[case.pk]),
    )


def waiting_words(review: Review) -> str:
    """Why the run waits, for whom: read by people."""
    if review.state == ReviewState.ASKED:
        return "Waits for the requester's answer; its clock stands."
    if review.blocked_reason:
        return review.blocked_reason
    whom = str(review.assignee) if review.assignee else "whoever takes it"
    if review.tier == Tier.FAST_TRACK:
        return f"Leaves unless somebody objects; {whom} was told."
    return f"Waits for {whom} to decide."


def say_standing(review: Review) -> None:
    """Write where the run and the case say what they wait for; the caller holds the case's lock."""
    words = waiting_words(review)[:200]
    Run.objects.filter(pk=review.run_id).update(reason=words)
    Case.objects.filter(pk=review.case_id).update(standing=words)
