"""Whoever weakens the policy first and acts then has weakened nothing that is open."""

import pytest

from approvals import terms
from approvals.errors import SelfApproval
from approvals.models import Review, RunningLimit, Stage, TierSettings
from approvals.policies import publish_bands
from approvals.states import ReviewState
from tests.plugins.line import Line, open_review_of, vote
from workflows.models import Authorization, Rule, Workflow
from workflows.publishing import RULE_SETS, new_draft_rules, publish_rules
from workflows.states import Tier
from workflows.tasks import tick


def lower_the_thresholds(line: Line) -> None:
    publish_bands(Workflow.objects.get(slug="refund"), {"GBP": [("0", Tier.INSTANT)]}, by=None, reason="Weaker")


def delete_the_rules(line: Line) -> None:
    in_force = Workflow.objects.get(slug="refund").rule_sets.get(state="published")
    draft = new_draft_rules(in_force, by=None, reason="Weaker")
    Rule.objects.filter(rule_set=draft).exclude(position=1).delete()
    publish_rules(draft, by=None, reason="Weaker")


def retire_the_rules(line: Line) -> None:
    RULE_SETS.retire(Workflow.objects.get(slug="refund").rule_sets.get(state="published"), by=None, reason="Weaker")


def ask_for_fewer_votes(line: Line) -> None:
    TierSettings.objects.update(text_needed=False, undo_seconds=0)
    Stage.objects.update(votes=1)


def raise_the_limits(line: Line) -> None:
    RunningLimit.objects.update(amount_minor=10**9)


@pytest.mark.parametrize(
    "weaken", [lower_the_thresholds, delete_the_rules, retire_the_rules, ask_for_fewer_votes, raise_the_limits]
)
def test_what_is_open_stays_as_strict_as_it_was(line: Line, weaken):
    Stage.objects.update(votes=2)
    RunningLimit.objects.create(organization=line.organization, scope="customer", currency="GBP", amount_minor=1_00)
    line.ask("141.48")
    line.ask("20.00")  # only for its limit
    tick()
    first, second = Review.objects.order_by("pk")

    weaken(line)
    tick()

    for review in (first, second):
        review.refresh_from_db()
        assert (review.state, review.tier) == (ReviewState.OPEN, Tier.FULL_REVIEW)
        assert [stage.needed for stage in terms.stages_of(review)] == [2]
        vote(review, line.cast.ada)
        assert open_review_of(review.case).state == ReviewState.OPEN
    assert not Authorization.objects.exists()
    vote(first, line.cast.maya)
    first.refresh_from_db()
    assert first.state == ReviewState.APPROVING


def test_a_new_role_does_not_make_anybody_a_voter_on_their_own(line: Line):
    """Rights that somebody gets while their request is open, also by four eyes, are none over it."""
    case = line.ask("141.48")
    type(case).objects.filter(pk=case.pk).update(requested_by_user=line.cast.tomasz)
    tick()
    line.organization.teams.get(slug="refunds").members.add(line.cast.tomasz)
    line.cast.tomasz.memberships.update(role="manager")

    with pytest.raises(SelfApproval):
        vote(open_review_of(case), line.cast.tomasz)
