"""Rules that are missing, broken, or name what is gone: such a case goes to people or stands still."""

from typing import Any

import pgtrigger
import pytest
from django.db import IntegrityError, transaction

from approvals.models import Policy, Stage, Threshold, TierSettings
from tests.approvals.gone_around import nothing_moved
from tests.plugins.line import Line, open_review_of
from workflows.models import Case, Decision, Rule, RuleSet
from workflows.states import CaseState, Tier

pytestmark = pytest.mark.django_db


BROKEN: dict[str, Any] = {
    "a fact that is gone": [{"fact": "weather", "operator": "is_true"}],
    "an operator that is gone": [{"fact": "amount", "operator": "matches", "value": "1"}],
    "another currency": [{"fact": "amount", "operator": "above", "value": "1.00 EUR"}],
    "no currency": [{"fact": "amount", "operator": "above", "value": "1.00"}],
    "a value that is none": [{"fact": "order.share", "operator": "above", "value": {"a": 1}}],
    "NaN": [{"fact": "order.share", "operator": "above", "value": "NaN"}],
    "no conditions": [],
    "an empty condition": [{}],
    "words": "amount > 5",
    "a list of words": ["amount > 5"],
    "nothing": None,
    "a number": 7,
    "an object": {"fact": "amount", "operator": "is_known"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_rule_that_broke_in_the_database_goes_to_people(line: Line, what: str):
    """No rule in force can be written so; these were changed behind the desk, or a release took a fact away."""
    rule = Rule.objects.filter(rule_set__state="published").first()
    assert rule is not None
    with pgtrigger.ignore("workflows.Rule:frozen_with_its_set"), transaction.atomic():
        try:
            with transaction.atomic():
                Rule.objects.filter(pk=rule.pk).update(conditions=BROKEN[what], tier=Tier.FAST_TRACK)
        except IntegrityError:
            assert BROKEN[what] is None
            return
    case = line.ask("0.01")

    line.work()

    assert nothing_moved(line)
    case.refresh_from_db()
    tiers = set(Decision.objects.values_list("tier", flat=True))
    # Sent to people, or stopped for one who repairs: never through.
    assert (tiers, case.state) in [({Tier.FULL_REVIEW}, CaseState.OPEN), (set(), CaseState.FAILED)]


def test_what_the_tier_needs_and_is_gone_stops_the_case(line: Line):
    Stage.objects.all().delete()
    TierSettings.objects.all().delete()
    cases = [line.ask("60.00"), line.ask("141.48")]

    line.work()

    assert nothing_moved(line)
    assert {Case.objects.get(pk=case.pk).state for case in cases} == {CaseState.FAILED}


def test_a_team_nobody_is_in_any_more_blocks_and_passes_nothing(line: Line):
    line.organization.teams.get(slug="refunds").members.clear()

    fast, full = line.ask("60.00"), line.ask("141.48")
    line.work()
    line.post()
    line.let_pass(days=3)

    assert nothing_moved(line)
    for case in (fast, full):
        review = open_review_of(case)
        assert (review.assignee, review.tier) == (None, Tier.FULL_REVIEW)
        assert review.blocked_reason


def test_two_editions_in_force_at_once_cannot_be(line: Line):
    for model in (RuleSet, Policy):
        row = model.objects.get(state="published")
        row.pk, row.number = None, 99

        with pytest.raises(IntegrityError, match="one_published"), transaction.atomic():
            row.save(force_insert=True)


def test_two_bands_at_one_amount_cannot_be(line: Line):
    band = Threshold.objects.get(above_minor=5_000)
    band.pk, band.tier = None, Tier.INSTANT

    with (
        pgtrigger.ignore("approvals.Threshold:frozen_with_its_policy"),
        pytest.raises(IntegrityError, match="approvals_threshold_once"),
        transaction.atomic(),
    ):
        band.save(force_insert=True)
