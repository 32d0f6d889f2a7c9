"""Threshold policies: what may be published, and what publishing does."""

import pytest

from approvals.models import Policy, Stage, TierSettings
from approvals.policies import (
    POLICIES,
    check_policy,
    draft_policy,
    new_draft_policy,
    publish_bands,
    publish_policy,
)
from auditlog.models import Entry
from tests.definitions import make_member, make_organization, make_tiers, make_workflow
from workflows.errors import NotADraft, Unpublishable
from workflows.states import Tier

pytestmark = pytest.mark.django_db
GBP = [("0.00", Tier.INSTANT), ("25.00", Tier.FAST_TRACK), ("150.00", Tier.FULL_REVIEW)]


@pytest.fixture
def acme():
    organization = make_organization()
    make_tiers(organization)
    return organization


@pytest.fixture
def refund(acme):
    return make_workflow(acme)


def test_bands_are_put_in_force_in_minor_units(refund):
    policy = publish_bands(refund, {"GBP": GBP, "JPY": [("0", Tier.FULL_REVIEW)]}, by=None, reason="First day")

    assert policy.state == "published"
    assert list(policy.thresholds.values_list("currency", "above_minor", "tier")) == [
        ("GBP", 0, "instant"),
        ("GBP", 2500, "fast_track"),
        ("GBP", 15000, "full_review"),
        ("JPY", 0, "full_review"),
    ]


@pytest.mark.parametrize(
    ("bands", "says"),
    [
        ({}, "at least one threshold"),
        ({"GBP": GBP[1:]}, "GBP: the lowest band must start at 0; amounts up to £25.00 have none."),
        ({"GBP": GBP, "EUR": GBP[2:]}, "EUR: the lowest band must start at 0"),
        (
            {"GBP": [("0.00", Tier.FULL_REVIEW), ("500.00", Tier.INSTANT)]},
            "GBP: above £500.00 asks for instant, less than full review below it",
        ),
    ],
)
def test_thresholds_with_a_hole_or_a_slope_are_not_published(refund, bands, says):
    former = publish_bands(refund, {"GBP": GBP}, by=None, reason="Works")
    draft = draft_policy(refund, bands, by=None, reason="Try")

    with pytest.raises(Unpublishable, match=says):
        publish_policy(draft, by=None, reason="Try")

    assert Policy.objects.get(state="published") == former


@pytest.mark.parametrize("bands", [{"GBP": [("0.005", Tier.INSTANT)]}, {"XXX": [("0", Tier.INSTANT)]}])
def test_an_amount_that_is_none_makes_no_draft(refund, bands):
    with pytest.raises(Unpublishable):
        draft_policy(refund, bands, by=None, reason="Try")

    assert not Policy.objects.exists()


def test_a_tier_nobody_can_be_asked_in_is_not_used(refund):
    Stage.objects.filter(tier__tier=Tier.FULL_REVIEW).delete()
    TierSettings.objects.filter(tier=Tier.FAST_TRACK).get().stages.all().delete()
    TierSettings.objects.filter(tier=Tier.FAST_TRACK).delete()

    problems = check_policy(draft_policy(refund, {"GBP": GBP}, by=None, reason="Try"))

    assert problems == [
        "The tier fast-track is not set up: add it under Tiers, with a team that decides.",
        "The tier full review has no stage: nobody could be asked. Name a team for it under Tiers.",
    ]


def test_full_review_must_be_possible_even_where_no_band_asks_for_it(refund):
    TierSettings.objects.get(tier=Tier.FULL_REVIEW).stages.all().delete()

    draft = draft_policy(refund, {"GBP": GBP[:1]}, by=None, reason="Try")

    assert "The tier full review has no stage: nobody could be asked. Name a team for it under Tiers." in check_policy(
        draft
    )


def test_a_new_policy_retires_the_one_before(acme, refund):
    ines = make_member(acme, "ines")
    first = publish_bands(refund, {"GBP": GBP}, by=None, reason="Works")
    draft = new_draft_policy(first, by=ines, reason="Careful")
    draft.thresholds.filter(above_minor=2500).update(above_minor=1000)

    second = publish_policy(draft, by=make_member(acme, "maya"), reason="Careful")

    first.refresh_from_db()
    assert (first.state, second.state, second.number) == ("retired", "published", 2)
    assert list(first.thresholds.values_list("above_minor", flat=True)) == [0, 2500, 15000]
    verbs = list(Entry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs[-3:] == ["approvals.policy.drafted", "approvals.policy.retired", "approvals.policy.published"]


def test_a_published_policy_is_kept(refund):
    policy = publish_bands(refund, {"GBP": GBP}, by=None, reason="Works")

    with pytest.raises(NotADraft):
        POLICIES.discard(policy, by=None, reason="Away")

    assert policy.thresholds.count() == 3
