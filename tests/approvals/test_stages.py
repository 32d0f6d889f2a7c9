"""Several votes and stages: each person counts once, and no stage is passed over."""

import pytest

from accounts.models import Person, User
from accounts.roles import Role
from approvals.errors import (
    NotAVoter,
    VotedBefore,
)
from approvals.models import Review
from approvals.states import ReviewState
from auditlog.models import Entry
from tests.approvals.deciding import now, refused, second_account, stages
from tests.factories import Cast, make_member
from tests.plugins.line import vote

pytestmark = pytest.mark.django_db


def test_two_votes_are_of_two_people(review: Review, cast: Cast):
    stages(review, 2)
    twin = second_account(cast.ada, "ada2")
    vote(review, cast.ada)

    for who in (cast.ada, twin):
        with pytest.raises(VotedBefore):
            vote(review, who)
    assert now(review)[0] == ReviewState.OPEN
    vote(review, cast.ben)

    assert now(review)[0] == ReviewState.APPROVING


def test_accounts_found_to_be_of_one_person_count_once_from_then_on(review: Review, cast: Cast):
    stages(review, 2)
    loose = [second_account(cast.ada, name) for name in ("one", "two")]
    User.objects.filter(pk__in=[user.pk for user in loose]).update(person=None)
    for user in loose:
        user.refresh_from_db()
    vote(review, loose[0])
    person = Person.objects.create(name="One and two")
    User.objects.filter(pk__in=[user.pk for user in loose]).update(person=person)
    loose[1].refresh_from_db()

    with pytest.raises(VotedBefore):
        vote(review, loose[1])


def test_whoever_has_voted_is_not_asked_again(review: Review, cast: Cast):
    stages(review, 3)

    vote(review, cast.ada)
    review.refresh_from_db()
    assert review.assignee in (cast.ben, cast.maya)
    vote(review, cast.ben)

    review.refresh_from_db()
    assert review.assignee == cast.maya


def test_a_stage_that_nobody_is_left_for_is_blocked_and_escalated_never_passed(review: Review, cast: Cast):
    stages(review, 4)
    for who in (cast.ada, cast.ben, cast.maya):
        vote(review, who)

    assert now(review)[0] == ReviewState.OPEN
    assert review.assignee is None
    assert review.blocked_reason == "Nobody in Refunds may vote on this case."
    assert review.escalated_at is not None
    assert Entry.objects.filter(verb="approvals.review.blocked").count() == 1


def test_stages_vote_one_after_the_other(review: Review, cast: Cast):
    stages(review, 1, 1)
    review.organization.teams.get(slug="managers").members.set([cast.maya])

    with pytest.raises(NotAVoter):
        vote(review, make_member(review.organization, "nobody", Role.OPERATOR))
    vote(review, cast.ada)
    assert now(review) == (ReviewState.OPEN, 1)
    assert review.assignee == cast.maya
    with pytest.raises(NotAVoter):
        vote(review, cast.ben)
    vote(review, cast.maya)

    assert now(review)[0] == ReviewState.APPROVING


def test_one_person_does_not_vote_in_two_stages(review: Review, cast: Cast):
    stages(review, 1, 1)
    vote(review, cast.ben)

    with pytest.raises(VotedBefore):
        vote(review, cast.ben)


def test_a_tier_whose_stage_was_taken_away_lets_nobody_vote(review: Review, cast: Cast):
    review.settings.stages.all().delete()

    assert refused(review, cast.ada, NotAVoter)
