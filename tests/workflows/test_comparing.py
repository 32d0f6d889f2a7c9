"""What differs between two editions, in sentences."""

import pytest
import yaml

from tests.definitions import PACK, make_organization, make_tiers
from workflows import comparing
from workflows.models import RuleSet
from workflows.publishing import import_pack, new_draft_rules

pytestmark = pytest.mark.django_db

PLAIN = yaml.safe_load(PACK)
UNDERSTAND, DECIDE, APPROVE, REFUND = PLAIN["steps"]
FIRST = PLAIN["rules"][0]
LARGE = {"fact": "amount", "operator": "above", "value": "50.00 GBP"}
NOTED = {"key": "note", "kind": "gather", "config": {"sources": ["request"]}}


@pytest.fixture
def acme():
    organization = make_organization()
    make_tiers(organization)
    return organization


def versions(acme, **changes):
    before, after = (import_pack(acme, {**PLAIN, **each}, by=None, reason="Try") for each in ({}, changes))
    return comparing.versions(before, after)


def rule_sets(acme, *rules):
    """What is said about rules in place of the pack's first."""
    changed = {**PLAIN, "rules": [*rules, *PLAIN["rules"][1:]]}
    version = import_pack(acme, PACK, by=None, reason="Try")
    before = version.workflow.rule_sets.get()
    import_pack(acme, changed, by=None, reason="Try")
    return comparing.rule_sets(before, RuleSet.objects.latest("pk"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, []),
        ({"case_kind": "return"}, ["The kind of case changed from refund to return."]),
        (
            {"withdrawn_by": ""},
            ["The event that withdraws a case is no longer set, before it was refund.withdrawn."],
        ),
        (
            {"fields": {**PLAIN["fields"], "amount": "sum"}},
            ["The case's amount changed from amount to sum."],
        ),
        (
            {"triggers": [*PLAIN["triggers"], {"key": "monthly", "kind": "schedule", "config": {"cron": "0 9 1 * *"}}]},
            ["Trigger “monthly” (schedule) was added after “phone”."],
        ),
        ({"steps": [UNDERSTAND, DECIDE, REFUND]}, ["Step “approve” was taken out."]),
        (
            {"steps": [UNDERSTAND, NOTED, DECIDE, APPROVE, REFUND]},
            ["Step “note” (gather) was added after “understand”."],
        ),
        ({"steps": [NOTED, UNDERSTAND, DECIDE, APPROVE, REFUND]}, ["Step “note” (gather) was added at the beginning."]),
        ({"steps": [REFUND, UNDERSTAND, DECIDE, APPROVE]}, ["Step “refund” now comes at the beginning."]),
        (
            {"steps": [UNDERSTAND, DECIDE, APPROVE, {**REFUND, "when": [LARGE]}]},
            ["Step “refund” is now done only when amount is above 50.00 GBP, before always."],
        ),
        (
            {"steps": [{**UNDERSTAND, "config": {"sources": ["request"]}}, DECIDE, APPROVE, REFUND]},
            ["Step “understand”: its sources changed from request, payment, order, customer to request."],
        ),
        (
            {"steps": [UNDERSTAND, DECIDE, {**APPROVE, "kind": "decide"}, REFUND]},
            ["The kind of step “approve” changed from approve to decide."],
        ),
    ],
)
def test_versions_are_compared_in_words(acme, changes, says):
    assert versions(acme, **changes) == says


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([FIRST], []),
        ([], ["Rule “No order on file” was taken out: order on file does not hold: at least full review."]),
        ([{**FIRST, "name": "Nothing on file"}], ["Rule “No order on file” is now called “Nothing on file”."]),
        (
            [{**FIRST, "tier": "fast_track"}],
            ["Rule “No order on file” now asks for fast-track, before it asks for full review."],
        ),
        (
            [{**FIRST, "effect": "flag"}],
            ["Rule “No order on file” now only points out, before it asks for full review."],
        ),
        (
            [{**FIRST, "match": "any", "conditions": [*FIRST["conditions"], LARGE]}],
            [
                "Rule “No order on file” now holds when order on file does not hold or amount is above 50.00 GBP, "
                "before when order on file does not hold."
            ],
        ),
        (
            [FIRST, {**FIRST, "name": "Large", "conditions": [LARGE]}],
            ["Rule “Large” is new: amount is above 50.00 GBP: at least full review."],
        ),
    ],
)
def test_rule_sets_are_compared_in_words(acme, rules, says):
    assert rule_sets(acme, *rules) == says


def test_the_order_of_rules_says_nothing(acme):
    before = import_pack(acme, PACK, by=None, reason="Try").workflow.rule_sets.get()
    after = new_draft_rules(before, by=None, reason="Try")
    for rule in after.rules.order_by("-position"):
        rule.position += 100 - 2 * rule.position
        rule.save()

    assert comparing.rule_sets(before, after) == []


@pytest.mark.parametrize("nonsense", ["amount > 5", 7, ["x"], [None], [{"fact": "order.share", "operator": ["a"]}]])
def test_a_draft_that_holds_nonsense_can_be_compared(acme, nonsense):
    (said,) = versions(acme, steps=[UNDERSTAND, DECIDE, APPROVE, {**REFUND, "when": nonsense}])

    assert said.startswith("Step “refund” is now done only when ")
