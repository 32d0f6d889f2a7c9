"""The condition of a step: it leaves a step out only where it is known not to hold, and never consent."""

import pytest
import yaml

from auditlog.models import Entry
from integrations import facts as _declared  # noqa: F401 - declares the catalogue
from tests.definitions import PACK, make_organization, make_tiers
from workflows import rules
from workflows.engine import running
from workflows.engine.definitions import definition_of
from workflows.models import Run, StepRun
from workflows.publishing import check, export_pack, import_pack, new_draft, publish_pack
from workflows.states import CaseState, RunState

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db):
    organization = make_organization()
    make_tiers(organization)
    return organization


LARGE = {"fact": "amount", "operator": "above", "value": "50.00 GBP"}
ON_FILE = {"fact": "order.on_file", "operator": "is_true"}


def facts(**values):
    held = {"currency": "GBP", **{name.replace("__", "."): value for name, value in values.items()}}
    return {name: {"value": value, "source": "desk", "at": ""} for name, value in held.items()}


@pytest.fixture
def conditional(probe, monkeypatch):
    """Sets the condition of the scripted workflow's second step; the database holds a published one frozen."""

    def condition(*conditions, match="all", moves_money=False, key="second"):
        definition = definition_of(probe.version.pk)
        for step in definition.steps:
            if step.key == key:
                object.__setattr__(step, "when", conditions)
                object.__setattr__(step, "match", match)
        probe.inside.moves_money = moves_money
        return probe

    definition_of.cache_clear()
    yield condition
    definition_of.cache_clear()


def outcomes(run):
    return [(step.key, step.outcome, step.note) for step in StepRun.objects.filter(run=run)]


@pytest.mark.parametrize(
    ("values", "outcome"),
    [({"amount": 6000}, "done"), ({"amount": 4000}, "skipped"), ({}, "done"), ({"amount": "6000"}, "done")],
    ids=["holds", "does not hold", "not known", "wrong type"],
)
def test_a_step_is_left_out_only_where_its_condition_is_known_not_to_hold(conditional, values, outcome):
    probe = conditional(LARGE)
    run = probe.runs()[0]
    Run.objects.filter(pk=run.pk).update(facts=facts(**values))

    running.advance(running.claim())

    assert [found for key, found, _ in outcomes(run) if key == "second"] == [outcome]
    assert probe.states() == [(RunState.SUCCEEDED, CaseState.DONE)]


def test_a_left_out_step_says_its_condition_and_is_in_the_audit_log(conditional):
    probe = conditional(LARGE, ON_FILE, match="any")
    run = probe.runs()[0]
    Run.objects.filter(pk=run.pk).update(facts=facts(amount=100, order__on_file=False))

    running.advance(running.claim())

    said = "Only done when amount is above 50.00 GBP or order on file holds."
    assert outcomes(run)[-1] == ("second", "skipped", said)
    entry = Entry.objects.get(verb="workflows.run.left_out")
    assert (entry.reason, entry.after) == (said, {"step": "second"})


def test_a_step_that_asks_outside_is_left_out_before_it_asks(conditional):
    probe = conditional(LARGE)
    object.__setattr__(definition_of(probe.version.pk).steps[1], "kind", probe.outside.name)
    asked = []
    probe.outside.fetches = lambda contexts: asked.extend(context.step.key for context in contexts)
    run = probe.runs()[0]
    Run.objects.filter(pk=run.pk).update(facts=facts(amount=100))

    running.advance(running.claim())

    assert asked == ["first"]
    assert outcomes(run)[-1][:2] == ("second", "skipped")


@pytest.mark.parametrize(
    ("values", "state"), [({}, "failed"), ({"amount": 100}, "succeeded"), ({"amount": 9000}, "succeeded")]
)
def test_money_moves_only_where_the_condition_is_known(conditional, values, state):
    probe = conditional(LARGE, moves_money=True)
    moved = []
    probe.second(lambda context: moved.append(context) or running.Done("Moved."))
    run = probe.runs()[0]
    Run.objects.filter(pk=run.pk).update(facts=facts(**values))

    running.advance(running.claim())

    run.refresh_from_db()
    assert run.state == state
    assert bool(moved) == (values == {"amount": 9000})
    if state == "failed":
        assert run.reason == "Only done when amount is above 50.00 GBP; that cannot be known without amount."


def packed(**when):
    """The shipped pack with conditions on steps: key to list of conditions."""
    pack = yaml.safe_load(PACK)
    for step in pack["steps"]:
        if step["key"] in when:
            step["when"] = when[step["key"]]
    return pack


def test_a_condition_goes_out_comes_in_is_copied_and_frozen(acme):
    version = publish_pack(acme, packed(refund=[LARGE]), by=None, reason="Small ones are credited")

    text = export_pack(version)
    again = import_pack(acme, text, by=None, reason="Again")
    copy = new_draft(version, by=None, reason="Edit")

    assert yaml.safe_load(text)["steps"][-1]["when"] == [LARGE]
    for each in (again, copy):
        assert each.steps.get(key="refund").when == [LARGE]
    with pytest.raises(Exception, match="Cannot change a step"):
        version.steps.filter(key="refund").update(when=[])


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"approve": [LARGE]}, "Step approve: approve carries no condition"),
        ({"decide": [LARGE]}, "Step decide: decide carries no condition"),
        ({"understand": [LARGE]}, "Step understand: its condition needs facts"),
        ({"understand": [LARGE]}, "decide needs a step of the kind gather before it"),
        ({"refund": [{"fact": "moon", "operator": "is_true"}]}, "Step refund: its condition: There is no fact “moon”."),
        ({"refund": [{**LARGE, "operator": ["above"]}]}, "does not fit amount"),
        ({"refund": "amount > 5"}, "Step refund: its condition: A rule needs at least one condition."),
    ],
)
def test_a_condition_that_could_harm_is_not_published(acme, when, says):
    publish_pack(acme, PACK, by=None, reason="Works")
    draft = import_pack(acme, packed(**when), by=None, reason="Try")

    assert any(says in problem for problem in check(draft)), check(draft)


def test_money_is_moved_once_for_one_consent(acme):
    publish_pack(acme, PACK, by=None, reason="Works")
    pack = yaml.safe_load(PACK)
    pack["steps"].append({**pack["steps"][-1], "key": "again"})
    twice = import_pack(acme, pack, by=None, reason="Try")
    for step, operator in ((pack["steps"][-2], "above"), (pack["steps"][-1], "below")):
        step["when"] = [{**LARGE, "operator": operator}]
    either = import_pack(acme, pack, by=None, reason="Try")

    assert [text for text in check(twice) if "Consent is for one movement" in text]
    assert check(either) == []


def test_shares_are_read_back_exactly():
    assert rules.in_words([{"fact": "order.share", "operator": "above", "value": "0.125"}]).endswith("12.5 %")
