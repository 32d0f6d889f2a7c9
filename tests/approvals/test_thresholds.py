"""Amount bands: the highest limit below the amount decides; where there is none, people do."""

import pytest

from approvals.models import Policy, Threshold
from approvals.thresholds import band_demand, published_policy
from opsdesk.lib.money import Money
from tests.factories import make_desk
from tests.plugins.line import Line
from workflows.models import Case, Decision, RuleSet, Workflow
from workflows.states import Tier, VersionState
from workflows.tasks import tick


def bands(*limits: tuple[str, str, Tier]) -> list[Threshold]:
    return [
        Threshold(currency=currency, above_minor=Money.parse(above, currency).minor, tier=tier)
        for above, currency, tier in limits
    ]


POUNDS = bands(("0", "GBP", Tier.INSTANT), ("50", "GBP", Tier.FAST_TRACK), ("100", "GBP", Tier.FULL_REVIEW))
YEN = bands(("0", "JPY", Tier.INSTANT), ("5000", "JPY", Tier.FULL_REVIEW))


def case_of(minor: int | None, currency: str = "GBP") -> Case:
    return Case(amount_minor=minor, currency=currency)


@pytest.mark.parametrize(
    ("minor", "tier"),
    [
        (1, Tier.INSTANT),
        (4999, Tier.INSTANT),
        (5000, Tier.INSTANT),
        (5001, Tier.FAST_TRACK),
        (10_000, Tier.FAST_TRACK),
        (10_001, Tier.FULL_REVIEW),
        (10**15, Tier.FULL_REVIEW),
    ],
)
def test_each_amount_falls_into_one_band(minor: int, tier: Tier):
    demand = band_demand([*YEN, *POUNDS[::-1]], case_of(minor))

    assert (demand.tier, demand.result) == (tier, "hit")


@pytest.mark.parametrize(("minor", "tier"), [(5000, Tier.INSTANT), (5001, Tier.FULL_REVIEW)])
def test_bands_are_of_their_currency(minor: int, tier: Tier):
    """5,000 yen are not 50.00 pounds."""
    assert band_demand([*POUNDS, *YEN], case_of(minor, "JPY")).tier == tier


@pytest.mark.parametrize(
    ("case", "rows"),
    [
        (case_of(None), POUNDS),
        (case_of(100, "EUR"), POUNDS),
        (case_of(100), []),
        (case_of(100), bands(("50", "GBP", Tier.FAST_TRACK))),
        (case_of(0), POUNDS),
    ],
    ids=["no amount", "another currency", "no bands", "below the lowest band", "nothing"],
)
def test_where_no_band_fits_people_decide(case: Case, rows: list[Threshold]):
    demand = band_demand(rows, case)

    assert (demand.tier, demand.result) == (Tier.FULL_REVIEW, "undetermined")


def test_the_demand_says_itself_in_words():
    assert band_demand(POUNDS, case_of(1980)).words == "£19.80 is within the limit of £50.00 for instant"
    assert band_demand(POUNDS, case_of(20_000)).words == "£200.00 is above £100.00"
    assert band_demand(POUNDS, case_of(1, "EUR")).words == "There are no thresholds for EUR, so a person decides"


@pytest.mark.django_db
def test_only_a_published_policy_of_the_very_workflow_decides():
    organization, _ = make_desk()
    workflow = Workflow.objects.get(organization=organization)
    other, _ = make_desk("other", suffix="-other")
    assert published_policy(workflow.pk).workflow == workflow

    Policy.objects.filter(workflow=workflow).update(state=VersionState.RETIRED)

    assert published_policy(workflow.pk) is None
    assert published_policy(Workflow.objects.get(organization=other).pk) is not None


@pytest.mark.parametrize("missing", ["thresholds", "rules", "both"])
def test_without_rules_or_thresholds_even_a_penny_goes_to_people(line: Line, missing: str):
    if missing in ("thresholds", "both"):
        Policy.objects.update(state=VersionState.RETIRED)
    if missing in ("rules", "both"):
        RuleSet.objects.update(state=VersionState.RETIRED)
    line.ask("0.01")

    tick()

    decision = Decision.objects.get()
    assert decision.tier == Tier.FULL_REVIEW
    assert "so a person decides" in decision.sentence
    assert line.refunds() == []


def test_the_decision_names_the_editions_that_were_asked(line: Line):
    line.ask("19.80")

    tick()

    decision = Decision.objects.get()
    assert (str(decision.rule_set), decision.policy) == ("refund rules v1", "refund thresholds v1")
    assert decision.sentence == "Instant: £19.80 is within the limit of £50.00 for instant."
    assert len(decision.trace) == 15  # every rule and the thresholds
    assert {demand["result"] for demand in decision.trace} == {"hit", "miss"}
