"""What an open review asks for: what its tier asked for when it was opened, or more, never less."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, User
from approvals import terms, voters
from approvals.errors import NotAVoter, RationaleMissing
from approvals.models import ReasonCode, Review, Rung, Stage, TierSettings
from approvals.services import Rationale, decide, object_to
from approvals.stages import AskedStage
from approvals.states import ReviewState, Verdict
from approvals.terms import StageTerms, Terms, stricter_of
from approvals.timers import settle
from tests.approvals.desk import decision, signed_in, url
from tests.factories import Cast, make_case, make_desk, make_review, make_team
from tests.plugins.line import pass_time, vote
from workflows.models import Authorization
from workflows.states import Tier

FULL, FAST = Tier.FULL_REVIEW, Tier.FAST_TRACK


@pytest.fixture
def cast(db: None) -> Cast:
    return make_desk()[1]


def opened(tier: Tier = FULL, **tier_fields: object) -> Review:
    """A review opened now, under tiers that ask for two votes of the refunds team and whatever else is said."""
    organization = Organization.objects.get()
    Stage.objects.filter(tier__tier=FULL).update(votes=2)
    TierSettings.objects.filter(tier=tier).update(**tier_fields)
    kept = terms.kept(organization.pk, {tier, FULL})
    return make_review(make_case(organization), tier=tier, terms=kept)


def fresh(review: Review) -> Review:
    return Review.objects.select_related("settings").get(pk=review.pk)


# --- weaker has no effect, stricter has ------------------------------------------------------------------------------


def test_a_tier_made_milder_leaves_open_reviews_as_they_were(cast: Cast):
    review = opened(text_needed=True, text_minimum=20, second_look=True)
    leaving = opened(FAST, objection_minutes=30)
    code = ReasonCode.objects.get(verdict="approve", text_needed=False)

    Stage.objects.filter(tier__tier=FULL).update(votes=1)
    TierSettings.objects.update(text_needed=False, text_minimum=1, second_look=False, objection_minutes=0)

    with pytest.raises(RationaleMissing, match="at least 20 characters"):
        decide(review.pk, voter=cast.ada, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash)
    said = Rationale(code, "The parcel came back whole.", second_look=True)
    decide(review.pk, voter=cast.ada, verdict=Verdict.APPROVE, rationale=said, seen=review.content_hash)
    assert fresh(review).state == ReviewState.OPEN
    assert terms.of(fresh(leaving)).objection_minutes == 30
    decide(review.pk, voter=cast.ben, verdict=Verdict.APPROVE, rationale=said, seen=review.content_hash)
    assert fresh(review).state == ReviewState.APPROVING


def test_teams_and_stages_taken_away_are_asked_all_the_same(cast: Cast):
    review = opened()
    others = make_team(review.organization, "interns")
    others.members.add(cast.tomasz)

    Stage.objects.filter(tier__tier=FULL).update(team=others, votes=1)

    first, last = terms.stages_of(fresh(review))
    assert (first.names, first.needed) == ("Refunds", 2)
    assert (last.names, last.needed) == ("Interns", 1)  # what is asked now is asked as well
    with pytest.raises(NotAVoter):
        vote(review, cast.tomasz)
    Stage.objects.all().delete()
    assert [str(stage) for stage in terms.stages_of(fresh(review))] == ["Refunds"]


def test_a_tier_made_stricter_counts_for_open_reviews(cast: Cast):
    review = opened()
    leaving = opened(FAST, objection_minutes=30)

    Stage.objects.filter(tier__tier=FULL).update(votes=3)
    TierSettings.objects.update(objection_minutes=60, text_needed=True, text_minimum=15)

    asked = terms.of(fresh(review))
    assert (asked.stages[0].votes, asked.text_needed, asked.text_minimum) == (3, True, 15)
    assert terms.of(fresh(leaving)).objection_minutes == 60


def test_a_case_kept_from_leaving_is_reviewed_as_was_usual_when_it_was_opened(cast: Cast):
    leaving = opened(FAST)
    Stage.objects.filter(tier__tier=FULL).update(votes=1)

    object_to(leaving.pk, by=cast.maya, text="Third claim.")

    assert terms.stages_of(fresh(leaving))[0].needed == 2


def test_what_was_decided_stays_decided_when_the_tier_becomes_stricter(cast: Cast):
    review = opened()
    vote(review, cast.ada)
    vote(review, cast.ben)

    Stage.objects.filter(tier__tier=FULL).update(votes=3)
    pass_time(timedelta(seconds=11))

    assert settle(review.pk) == 1
    assert fresh(review).state == ReviewState.APPROVED
    assert Authorization.objects.count() == 1


def test_a_review_of_older_code_follows_its_tier(cast: Cast):
    review = make_review(make_case(Organization.objects.get()))
    Stage.objects.filter(tier__tier=FULL).update(votes=2)

    assert terms.stages_of(fresh(review))[0].needed == 2


numbers = st.integers(0, 60)
stage_terms = st.builds(
    StageTerms, st.sampled_from([(1,), (2,), (1, 2), (3,)]), st.integers(1, 3), st.booleans(), st.integers(0, 9)
)
any_terms = st.builds(
    Terms, numbers, numbers, st.booleans(), numbers, st.booleans(), st.lists(stage_terms, max_size=3).map(tuple)
)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(any_terms, any_terms)
def test_the_stricter_terms_never_ask_for_less_than_those_kept(first: Terms, now: Terms):
    both = stricter_of(first, now)

    assert both.objection_minutes >= first.objection_minutes
    assert (both.text_needed, both.second_look) >= (first.text_needed, first.second_look)
    assert both.text_minimum >= first.text_minimum
    assert len(both.stages) >= len(first.stages)
    for kept, asked in zip(first.stages, both.stages, strict=False):
        assert (asked.teams, asked.votes >= kept.votes, asked.every_team >= kept.every_team) == (kept.teams, True, True)
    assert stricter_of(first, first) == first


# --- stages of several teams -----------------------------------------------------------------------------------------


class Squad:
    """Stands for a team in sums that ask no database."""

    def __init__(self, pk: int) -> None:
        self.pk = pk

    def __str__(self) -> str:
        return f"T{self.pk}"


@pytest.mark.parametrize(
    ("asked", "voters_of", "passed", "wanted"),
    [
        (((1,), 1, False), [], False, {1}),
        (((1,), 1, False), [{1}], True, {1}),
        (((1, 2), 2, False), [{1}, {1}], True, {1, 2}),
        (((1, 2), 1, True), [{1}], False, {2}),  # two people at least, one of each team
        (((1, 2), 2, True), [{1}, {1}], False, {2}),
        (((1, 2), 2, True), [{1, 2}, {1}], True, set()),
        (((1, 2), 2, True), [{1, 2}], False, {1, 2}),  # one person speaks for one team
        (((1, 2), 3, True), [{1}], False, {1, 2}),
        (((1, 2), 3, True), [{1}, {1}], False, {2}),
        (((1, 2, 3), 3, True), [{1, 2}, {2, 3}, {1}], True, set()),
    ],
)
def test_a_stage_counts_people_and_hears_each_team(asked, voters_of, passed, wanted):
    teams, votes, every = asked
    stage = AskedStage(tuple(Squad(pk) for pk in teams), votes, every)

    assert stage.is_passed(voters_of) is passed
    assert set(stage.wanted(voters_of)) == wanted


def test_each_of_two_teams_has_to_be_heard(cast: Cast):
    review = make_review(make_case(Organization.objects.get()))
    finance = make_team(review.organization, "finance")
    finance.members.add(cast.maya)
    stage = review.settings.stages.get()
    stage.more_teams.add(finance)
    Stage.objects.update(every_team=True, votes=2)
    asked = voters.stage_of(fresh(review))

    vote(review, cast.ada)

    assert (asked.names, asked.needed) == ("Refunds and Finance", 2)
    assert fresh(review).assignee == cast.maya
    with pytest.raises(NotAVoter, match="now Finance decides"):
        vote(review, cast.ben)
    vote(review, cast.maya)
    assert fresh(review).state == ReviewState.APPROVING


def test_any_of_two_teams_may_decide(cast: Cast):
    review = make_review(make_case(Organization.objects.get()))
    finance = make_team(review.organization, "finance")
    finance.members.add(cast.tomasz)
    User.objects.filter(pk=cast.tomasz.pk).get().memberships.update(role="operator")
    review.settings.stages.get().more_teams.add(finance)

    vote(review, cast.tomasz)

    assert fresh(review).state == ReviewState.APPROVING


# --- what a reason asks for, and the ladder --------------------------------------------------------------------------


def test_a_reason_can_ask_for_a_second_look_which_the_page_offers(cast: Cast):
    review = make_review(make_case(Organization.objects.get()))
    ReasonCode.objects.filter(verdict="approve").update(second_look=True)
    client = signed_in(cast.ada)

    shown = client.get(url("case", review)).content.decode()
    refused = client.post(url("decide", review), decision(review))
    done = client.post(url("decide", review), decision(review, second_look="on"))

    assert 'name="second_look"' in shown
    assert "needs a second look" in shown
    assert refused.status_code == 422
    assert "Look at the evidence a second time" in refused.content.decode()
    assert done.status_code == 302
    assert review.votes.get().second_look


def test_a_reason_for_another_kind_of_case_is_neither_offered_nor_taken(cast: Cast):
    review = make_review(make_case(Organization.objects.get()))
    ReasonCode.objects.filter(verdict="approve").update(kind="invoice")
    client = signed_in(cast.ada)

    shown = client.get(url("case", review)).content.decode()
    refused = client.post(url("decide", review), decision(review))

    assert "Goods came back" not in shown
    assert refused.status_code == 422
    code = ReasonCode.objects.filter(verdict="approve", text_needed=False).get()
    with pytest.raises(RationaleMissing, match="Choose a reason from the list"):
        decide(review.pk, voter=cast.ada, verdict=Verdict.APPROVE, rationale=Rationale(code), seen=review.content_hash)
    assert not review.votes.exists()


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"after_minutes": 0}, "approvals_rung_known_and_later"),
        ({"what": "approve"}, "approvals_rung_known_and_later"),
        ({"position": 1, "after_minutes": 120}, "approvals_rung_position_once"),
        ({"position": 2, "after_minutes": 60, "what": "remind"}, "approvals_rung_once_at_a_time"),
    ],
)
def test_the_database_keeps_a_ladder_sound(cast: Cast, fields, constraint):
    tier = TierSettings.objects.get(tier=FULL)
    Rung.objects.create(tier=tier, position=1, after_minutes=60, what="remind")

    with pytest.raises(IntegrityError, match=constraint):
        Rung.objects.create(**{"tier": tier, "position": 2, "after_minutes": 90, "what": "manager", **fields})
