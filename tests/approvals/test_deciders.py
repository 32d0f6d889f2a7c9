"""Who decides, and who does not: requesters, their second accounts, other roles, lost rights."""

import pytest

from accounts.models import User
from accounts.roles import Role
from approvals.errors import (
    NotAVoter,
    SelfApproval,
)
from approvals.models import Review
from approvals.services import reassign
from opsdesk.lib import clock
from tests.approvals.deciding import refused, second_account
from tests.factories import Cast, make_case, make_desk, make_review, make_run
from tests.plugins.line import vote
from workflows.models import Case, Correction, Run

pytestmark = pytest.mark.django_db


def test_nobody_votes_on_what_they_asked_for(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    assert refused(review, cast.ada, SelfApproval)


def test_a_second_account_of_the_requester_does_not_vote(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    assert refused(review, second_account(cast.ada, "ada2"), SelfApproval)


def test_nobody_votes_on_what_they_corrected_nor_does_their_second_account(review: Review, cast: Cast):
    Correction.objects.create(case=review.case, user=cast.ada, before={}, after={}, reason="x")

    assert refused(review, cast.ada, SelfApproval)
    assert refused(review, second_account(cast.ada, "ada2"), SelfApproval)


def test_nobody_votes_on_what_was_begun_for_a_case_they_corrected(review: Review, cast: Cast):
    above = make_run(make_case(review.organization))
    between = make_run(make_case(review.organization), parent=above)
    Run.objects.filter(pk=review.run_id).update(parent=between)
    Correction.objects.create(case=above.case, user=cast.ada, before={}, after={}, reason="x")

    assert refused(review, cast.ada, SelfApproval)


@pytest.mark.parametrize("party", ["ada", "ADA"])
def test_nobody_votes_on_what_they_would_get(review: Review, cast: Cast, party: str):
    own = make_review(make_case(review.organization, party=party))

    assert refused(own, cast.ada, SelfApproval)
    assert refused(own, second_account(cast.ada, "ada2"), SelfApproval)


def test_closing_the_account_that_would_get_it_does_not_free_the_other(review: Review, cast: Cast):
    own = make_review(make_case(review.organization, party="ada"))
    other = second_account(cast.ada, "ada2")
    User.objects.filter(pk=cast.ada.pk).update(is_active=False)

    assert refused(own, other, SelfApproval)


@pytest.mark.parametrize("who", ["tomasz", "ines"])
def test_admins_and_auditors_do_not_decide(review: Review, cast: Cast, who: str):
    user = getattr(cast, who)
    review.organization.teams.get(slug="refunds").members.add(user)

    assert refused(review, user, NotAVoter)


def test_who_is_not_in_the_team_does_not_decide(review: Review, cast: Cast):
    review.organization.teams.get(slug="refunds").members.remove(cast.maya)

    assert refused(review, cast.maya, NotAVoter)


def test_members_of_another_organization_do_not_decide(review: Review, cast: Cast):
    _, others = make_desk("other", suffix="-other")
    review.organization.teams.get(slug="refunds").members.add(others.ada)

    assert refused(review, others.ada, NotAVoter)


@pytest.mark.parametrize("loss", ["ended", "inactive", "role"])
def test_who_lost_the_right_does_not_decide(review: Review, cast: Cast, loss: str):
    lose(cast.ada, loss)

    assert refused(review, cast.ada, NotAVoter)


def lose(user: User, how: str) -> None:
    """Take the right to decide from somebody."""
    match how:
        case "ended":
            user.memberships.update(ended_at=clock.now())
        case "inactive":
            User.objects.filter(pk=user.pk).update(is_active=False)
        case "role":
            user.memberships.update(role=Role.VIEWER)


def test_handing_the_case_over_does_not_make_anybody_eligible(review: Review, cast: Cast):
    Case.objects.filter(pk=review.case_id).update(requested_by_user=cast.ada)

    for who, refusal in ((cast.ada, SelfApproval), (cast.tomasz, NotAVoter)):
        with pytest.raises(refusal):
            reassign(review.pk, to=who, by=cast.maya)
    reassign(review.pk, to=cast.ben, by=cast.maya)

    assert Review.objects.get().assignee == cast.ben
    with pytest.raises(SelfApproval):
        vote(review, cast.ada)
