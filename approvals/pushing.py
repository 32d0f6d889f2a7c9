"""Giving out cases: what nobody has in teams that are given theirs, and what its owner cannot decide any more."""

from collections.abc import Iterator
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Membership, Organization, Team, User
from accounts.roles import Permission, roles_with
from approvals import absences, claims, opening, services, skills, terms, tries, turns, voters
from approvals.models import Review
from approvals.states import ReviewState, Timer
from auditlog.services import Actor, record
from opsdesk.lib import clock
from workflows.states import Tier

_BLOCKED = 20  # looked at in one go
_TIMER = Actor.timer("distribution")
_DECIDING_ROLES = roles_with(Permission.DECIDE)


def give_out(limit: int = 100) -> int:
    """Give cases to the people whose turn it is; returns how many went to somebody. Decides nothing."""
    given = 0
    claims.forget_old()
    for organization in Organization.objects.all():
        # Once nobody of a team has room, nobody has for the next of its cases.
        full = set[int]()
        for reviews, most in _to_give(organization, limit):
            given += tries.each(Timer.GIVE, reviews, partial(_give, full=full), most=most)
    return given


def _to_give(organization: Organization, limit: int) -> Iterator[tuple[QuerySet[Review], int]]:
    """Open full reviews without somebody who can decide them, first due first, and how many are looked at."""
    waiting = Review.objects.filter(organization=organization, tier=Tier.FULL_REVIEW).open().order_by("due_at", "pk")
    unowned = waiting.filter(_of_given_teams(organization), assignee=None)
    unable = waiting.filter(assignee__in=_unable(organization))
    # Any of them may be free by now, and none keeps the others from being looked at.
    blocked = waiting.exclude(blocked_reason="").order_by("?")
    yield unowned.filter(blocked_reason=""), limit
    yield unable, limit
    yield blocked, _BLOCKED


def _of_given_teams(organization: Organization) -> Q:
    teams = Team.objects.filter(organization=organization, distribution=Team.Distribution.PUSH)
    return Q(asks__overlap=list(teams.values_list("pk", flat=True))) | Q(asks=[])


def _unable(organization: Organization) -> "QuerySet[User]":
    """Accounts that were members and may decide nothing now, or are away."""
    rights = Membership.objects.active().filter(
        organization=organization, user=OuterRef("pk"), role__in=_DECIDING_ROLES
    )
    away = list(absences.away_today(organization.pk))
    members = User.objects.filter(memberships__organization=organization)
    return members.filter(~Exists(rights) | Q(pk__in=away))


@transaction.atomic
def _give(review_id: int, full: set[int]) -> int:
    case, review = services.locked_review(review_id)
    stages = terms.stages_of(review)
    if review.state != ReviewState.OPEN or review.tier != Tier.FULL_REVIEW or review.stage >= len(stages):
        return 0
    stage, before, was_blocked = stages[review.stage], review.assignee, review.blocked_reason
    asked = voters.teams_asked(review, stage)
    if not asked:
        return 0
    if review.asks != [team.pk for team in asked]:
        # Opened by older code, or its tier asks other teams since: looked for once, not at every beat.
        review.asks = [team.pk for team in asked]
        review.save(update_fields=["asks"])
    if asked[0].pk in full and before is None and not was_blocked:
        return 0
    if before is not None and claims.is_held_by(review, before):
        return 0  # away or not, they are at it
    # Two beats at once count the same open cases one after the other.
    team = Team.objects.select_for_update(of=("self",)).get(pk=asked[0].pk)
    people = voters.eligible(review, stage)
    whom = turns.next_of(team, skills.fitting(case, people))
    reason = "" if people else voters.why_nobody(review, stage)
    pushed = team.distribution == Team.Distribution.PUSH
    if pushed and whom is None and people and turns.next_of(team, people) is None:
        full.add(team.pk)
    if whom == before and reason == was_blocked:
        return 0
    _write(review, whom, reason)
    _tell(review, before, whom, was_blocked)
    return int(whom is not None)


def _write(review: Review, whom: User | None, blocked_reason: str) -> None:
    review.assignee, review.blocked_reason = whom, blocked_reason
    review.assigned_at = clock.now() if whom else None
    if blocked_reason:
        review.escalated_at = review.escalated_at or clock.now()
    review.save(update_fields=["assignee", "blocked_reason", "assigned_at", "escalated_at"])
    opening.say_standing(review)


def _tell(review: Review, before: User | None, whom: User | None, was_blocked: str) -> None:
    why = f"{before} is away or may no longer decide it." if before else "It is their turn."
    if was_blocked:
        why = "Somebody may decide it again."
    if whom is not None:
        verb = "given"
    elif review.blocked_reason:
        verb, why = "blocked", review.blocked_reason
    else:
        verb = "freed"
    record(
        f"approvals.review.{verb}",
        actor=_TIMER,
        organization_id=review.organization_id,
        subject=("review", review.pk),
        case_id=review.case_id,
        before={"assignee": str(before or "nobody")},
        after={"assignee": str(whom or "nobody")},
        reason=why,
    )
