"""What tests of decisions ask of a review, and how they arrange who votes on it."""

import pytest

from accounts.models import User
from accounts.roles import Role
from approvals.models import ReasonCode, Review, Stage
from approvals.states import ReviewState, Verdict
from auditlog.models import Entry
from tests.factories import make_member, make_team
from tests.plugins.line import vote


def stages(review: Review, *votes: int) -> None:
    """Have the review's tier ask so many votes in each stage: refunds first, then a team of managers."""
    review.settings.stages.all().delete()
    team = review.organization.teams.get(slug="refunds")
    managers = make_team(review.organization, "managers") if len(votes) > 1 else team
    managers.members.add(*User.objects.filter(username__in=["maya", "ben"]))
    for position, count in enumerate(votes):
        Stage.objects.create(tier=review.settings, team=managers if position else team, votes=count, position=position)


def now(review: Review) -> tuple[str, int]:
    review.refresh_from_db()
    return review.state, review.stage


def untouched(review: Review) -> bool:
    return now(review) == (ReviewState.OPEN, 0) and not review.votes.exists() and not told()


def told() -> list[str]:
    """What the audit log says about reviews."""
    return list(Entry.objects.filter(subject_kind="review").values_list("verb", flat=True))


def code(review: Review, verdict: Verdict = Verdict.APPROVE, *, text: bool = False) -> ReasonCode:
    return ReasonCode.objects.get(organization=review.organization, verdict=verdict, text_needed=text)


def second_account(of: User, name: str, role: Role = Role.OPERATOR) -> User:
    """Another account of the same human being, in the same team."""
    organization = of.memberships.get().organization
    user = make_member(organization, name, role, teams=(organization.teams.get(slug="refunds"),))
    user.person = of.person
    user.save(update_fields=["person"])
    return user


def refused(review: Review, voter: User, refusal: type[Exception]) -> bool:
    """Neither verdict is taken, and nothing happened."""
    for verdict in Verdict:
        with pytest.raises(refusal):
            vote(review, voter, verdict)
    return untouched(review)
