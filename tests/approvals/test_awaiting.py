"""For whom or what a run waits that needs consent: exact for votes, objections and second thoughts."""

from datetime import timedelta

import pytest

from approvals.models import Review, Stage
from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import text_of
from workflows.models import Run
from workflows.standing import standing_of, standings_of
from workflows.states import RunState, Tier, WaitsFor

pytestmark = pytest.mark.django_db


def asked(organization, tier: Tier, **fields) -> Review:
    """A review whose run waits for it."""
    run = factories.make_run(
        factories.make_case(organization), state=RunState.WAITING, position=2, waits_for=WaitsFor.REVIEW
    )
    return factories.make_review(run.case, tier=tier, **fields)


def stood(review: Review):
    return standing_of(Run.objects.select_related("workflow", "organization").with_recovery().get(pk=review.run_id))


def test_a_full_review_waits_for_as_many_of_its_team_as_must_agree(organization, cast):
    review = asked(organization, Tier.FULL_REVIEW)

    one = stood(review)
    Stage.objects.filter(tier=review.settings).update(votes=2)
    two = stood(review)

    assert (one.whom, one.next_at) == ("somebody of Refunds to decide", None)
    assert one.next == "Goes on once decided. Then comes the step refund."
    assert two.whom == "2 people of Refunds to decide"


def test_a_fast_track_case_waits_for_no_decision_but_for_its_window(organization, cast):
    untold = stood(asked(organization, Tier.FAST_TRACK))
    ends = clock.now() + timedelta(minutes=9)
    told = stood(asked(organization, Tier.FAST_TRACK, objection_ends_at=ends))

    assert untold.whom == "the notice to Refunds to arrive"
    assert (told.whom, told.next_at) == ("the objection window to end; Refunds was told", ends)
    assert told.next == "Leaves by itself then, unless somebody objects. Then comes the step refund."


@pytest.mark.parametrize("state", ["approving", "rejecting"])
def test_what_was_decided_waits_until_it_can_be_taken_back_no_more(organization, cast, state):
    settles = clock.now() + timedelta(seconds=9)

    standing = stood(asked(organization, Tier.FULL_REVIEW, state=state, settles_at=settles))

    assert standing.whom == "the moments in which the decision can be taken back to pass"
    assert standing.next_at == settles and standing.next.startswith("It takes effect by itself then.")


def test_many_are_told_at_the_cost_of_one(organization, cast, django_assert_max_num_queries):
    reviews = [asked(organization, tier) for tier in (Tier.FULL_REVIEW, Tier.FAST_TRACK) * 3]
    runs = list(Run.objects.select_related("workflow", "organization").with_recovery().order_by("pk"))
    standings_of(runs)

    with django_assert_max_num_queries(5):
        told = standings_of(runs)

    assert [standing.whom.split()[0] for standing in told] == ["somebody", "the"] * 3
    assert len(reviews) == len(told)


def test_the_page_says_it(organization, cast, sign_in):
    review = asked(organization, Tier.FAST_TRACK)

    text = text_of(sign_in(cast.ada).get(f"/runs/{review.run_id}/"))

    assert "Waits for the notice to Refunds to arrive Since" in text
