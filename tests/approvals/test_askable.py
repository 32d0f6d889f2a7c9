"""What could ask nobody is not put in force: tiers without a team, and teams in which nobody may decide."""

import pytest

from accounts.models import Membership, Team
from accounts.roles import Role
from approvals.models import Stage, TierSettings
from approvals.policies import check_policy, draft_policy
from tests.definitions import PACK, make_member, make_organization, make_tiers
from workflows.errors import Unpublishable
from workflows.models import WorkflowVersion
from workflows.publishing import check, check_rules, import_pack, publish_pack
from workflows.states import Tier

pytestmark = pytest.mark.django_db
NOBODY = (
    "The tier full review asks for 1 of the team Refunds, in which nobody may decide: add people to it whose role is "
    "operator or manager, or name another team under Tiers."
)
NO_STAGE = "The tier full review has no stage: nobody could be asked. Name a team for it under Tiers."
NOT_SET_UP = "The tier full review is not set up: add it under Tiers, with a team that decides."


@pytest.fixture
def acme():
    organization = make_organization()
    make_tiers(organization)
    return organization


def take_away_tier(acme):
    Stage.objects.filter(tier__tier=Tier.FULL_REVIEW).delete()
    TierSettings.objects.filter(tier=Tier.FULL_REVIEW).delete()


def take_away_stage(acme):
    Stage.objects.filter(tier__tier=Tier.FULL_REVIEW).delete()


def only_viewers(acme):
    Membership.objects.filter(user__teams__slug="refunds").update(role=Role.VIEWER)


def only_who_left(acme):
    member = Team.objects.get(slug="refunds").members.get()
    member.is_active = False
    member.save(update_fields=["is_active"])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (take_away_tier, NOT_SET_UP),
        (take_away_stage, NO_STAGE),
        (only_viewers, NOBODY),
        (only_who_left, NOBODY),
        (lambda acme: Team.objects.get(slug="refunds").members.clear(), NOBODY),
    ],
)
def test_what_could_ask_nobody_is_not_put_in_force(acme, harm, says):
    works = publish_pack(acme, PACK, by=None, reason="Works")
    harm(acme)
    version = import_pack(acme, PACK, by=None, reason="Try")
    rule_set = version.workflow.rule_sets.get(state="draft")

    assert says in check(version)
    assert says in check_rules(rule_set)
    assert says in check_policy(draft_policy(version.workflow, {"GBP": [("0", Tier.INSTANT)]}, by=None, reason="Try"))
    with pytest.raises(Unpublishable, match="full review"):
        publish_pack(acme, PACK, by=None, reason="Try")
    assert WorkflowVersion.objects.get(state="published") == works


def test_one_person_with_two_accounts_is_not_two(acme):
    Stage.objects.filter(tier__tier=Tier.FULL_REVIEW).update(votes=2)
    team = Team.objects.get(slug="refunds")
    other = make_member(acme, "vera-again")
    other.person = team.members.get().person
    other.save(update_fields=["person"])
    team.members.add(other)

    with pytest.raises(Unpublishable, match="asks for 2 of the team Refunds, in which only 1 may decide"):
        publish_pack(acme, PACK, by=None, reason="Try")

    team.members.add(make_member(acme, "ben"))
    assert publish_pack(acme, PACK, by=None, reason="Now").state == "published"


def test_a_workflow_that_asks_for_no_consent_needs_no_tiers(acme):
    take_away_tier(acme)
    steps = [{"key": "rest", "kind": "wait", "config": {"for_minutes": 5}}]
    pack = {
        "name": "Rests", "slug": "rests", "case_kind": "rest", "opened_by": "rest.asked",
        "fields": {"key": "reference"}, "steps": steps,
    }  # fmt: skip

    assert publish_pack(acme, pack, by=None, reason="Quiet").state == "published"


def test_a_tier_that_only_rules_ask_for_counts_too(acme):
    """Fast-track is named by a rule of the shipped pack; nothing but that leads there before thresholds do."""
    TierSettings.objects.get(tier=Tier.FAST_TRACK).stages.all().delete()

    with pytest.raises(Unpublishable, match="The tier fast-track has no stage"):
        publish_pack(acme, PACK, by=None, reason="Try")
