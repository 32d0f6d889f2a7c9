"""Taking a vote back and objecting to a window: until when, by whom, and what follows."""

from datetime import timedelta

import pytest

from approvals.errors import (
    AlreadyDecided,
    SelfApproval,
    TooLate,
)
from approvals.models import Review, TierSettings, Vote
from approvals.services import object_to, take_back
from approvals.states import ReviewState, Verdict
from approvals.timers import leave, settle
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.approvals.deciding import now, stages
from tests.factories import Cast, make_case, make_review
from tests.plugins.line import pass_time, vote
from workflows.models import Authorization
from workflows.states import Tier

pytestmark = pytest.mark.django_db


def test_a_vote_can_be_taken_back_while_it_has_no_effect(review: Review, cast: Cast):
    vote(review, cast.ada)

    take_back(review.pk, voter=cast.ada)

    assert now(review)[0] == ReviewState.OPEN
    assert (review.settles_at, review.decided_by) == (None, None)
    assert Vote.objects.get().withdrawn_at is not None
    assert Entry.objects.get(verb="approvals.review.taken_back").before == {"verdict": "approve"}
    pass_time(timedelta(minutes=1))
    assert settle(review.pk) == 0
    vote(review, cast.ada, Verdict.REJECT)  # and decided otherwise


def test_after_the_window_it_is_too_late(review: Review, cast: Cast):
    vote(review, cast.ada)
    pass_time(timedelta(seconds=11))

    with pytest.raises(TooLate):
        take_back(review.pk, voter=cast.ada)

    assert settle(review.pk) == 1


def test_nobody_takes_back_the_vote_of_somebody_else(review: Review, cast: Cast):
    vote(review, cast.ada)

    with pytest.raises(TooLate):
        take_back(review.pk, voter=cast.ben)

    assert now(review)[0] == ReviewState.APPROVING


def test_a_vote_of_an_earlier_stage_that_is_taken_back_is_asked_for_again(review: Review, cast: Cast):
    stages(review, 1, 1)
    vote(review, cast.ada)
    vote(review, cast.maya)

    take_back(review.pk, voter=cast.ada)

    assert now(review) == (ReviewState.OPEN, 0)
    assert review.assignee in (cast.ada, cast.ben)
    vote(review, cast.ben)
    assert now(review)[0] == ReviewState.APPROVING  # Maya's vote of the second stage stands
    pass_time(timedelta(seconds=11))
    assert settle(review.pk) == 1
    assert set(Authorization.objects.get().granted_by.split(" and ")) == {"Ben Marsh", "Maya Nowak"}


@pytest.fixture
def leaving(review: Review, cast: Cast) -> Review:
    """A fast-track review whose window ends in half an hour."""
    return make_review(
        make_case(review.organization, amount="60.00"),
        tier=Tier.FAST_TRACK,
        objection_ends_at=clock.now() + timedelta(minutes=30),
    )


def test_an_objection_stops_the_clock_and_asks_people(leaving: Review, cast: Cast):
    object_to(leaving.pk, by=cast.maya, text="The customer called.")

    leaving.refresh_from_db()
    assert (leaving.tier, leaving.objection_ends_at, leaving.state) == (Tier.FULL_REVIEW, None, ReviewState.OPEN)
    assert leaving.assignee is not None
    pass_time(timedelta(days=1))
    assert leave(leaving.pk) == 0
    entry = Entry.objects.get(verb="approvals.review.objected")
    assert (entry.user, entry.reason) == (cast.maya, "The customer called.")


@pytest.mark.parametrize("who", ["tomasz", "ines"])
def test_who_may_not_decide_may_not_object(leaving: Review, cast: Cast, who: str):
    with pytest.raises(SelfApproval):
        object_to(leaving.pk, by=getattr(cast, who), text="")

    leaving.refresh_from_db()
    assert leaving.tier == Tier.FAST_TRACK


def test_an_objection_comes_once(leaving: Review, cast: Cast):
    object_to(leaving.pk, by=cast.maya, text="")

    with pytest.raises(AlreadyDecided, match="already objected"):
        object_to(leaving.pk, by=cast.ada, text="")

    assert not Entry.objects.filter(verb="approvals.review.came_too_late").exists()


def test_votes_for_leaving_do_not_count_once_somebody_objected(leaving: Review, cast: Cast):
    """People were told that it leaves by itself; whether it may be paid at all is another question."""
    leaving.settings.stages.update(votes=2)
    vote(leaving, cast.ben)
    object_to(leaving.pk, by=cast.maya, text="")
    leaving.refresh_from_db()
    assert leaving.settings.stages.get().votes == 1

    assert not leaving.votes.filter(withdrawn_at=None).exists()
    vote(leaving, cast.ben)
    assert now(leaving)[0] == ReviewState.APPROVING


def test_a_vote_for_leaving_that_is_taken_back_asks_people(leaving: Review, cast: Cast):
    vote(leaving, cast.maya)
    leaving.refresh_from_db()
    assert leaving.objection_ends_at is None

    take_back(leaving.pk, voter=cast.maya)

    leaving.refresh_from_db()
    assert (leaving.state, leaving.tier, leaving.objection_ends_at) == (ReviewState.OPEN, Tier.FULL_REVIEW, None)


@pytest.mark.parametrize("gone", ["settings", "stages"])
def test_an_objection_counts_although_nobody_is_set_up_to_decide(leaving: Review, cast: Cast, gone: str):
    full = TierSettings.objects.get(organization=leaving.organization, tier=Tier.FULL_REVIEW)
    Review.objects.exclude(pk=leaving.pk).filter(settings=full).delete()
    full.stages.all().delete()
    if gone == "settings":
        full.delete()

    object_to(leaving.pk, by=cast.maya, text="The customer called.")

    leaving.refresh_from_db()
    assert (leaving.tier, leaving.objection_ends_at, leaving.state) == (Tier.FULL_REVIEW, None, ReviewState.OPEN)
    assert leaving.blocked_reason
    assert leaving.escalated_at is not None
    pass_time(timedelta(days=1))
    assert leave(leaving.pk) == 0
