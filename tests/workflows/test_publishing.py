"""Packs, drafts and published editions of versions and rule sets."""

import threading

import pytest
import yaml
from django.db import DatabaseError, connections, transaction

from auditlog.models import Entry
from integrations.models import Connection
from tests.definitions import PACK, make_member, make_organization, make_tiers
from workflows.errors import BadPack, NotADraft, Unpublishable
from workflows.models import Rule, RuleSet, Step, Workflow, WorkflowVersion
from workflows.publishing import (
    RULE_SETS,
    VERSIONS,
    check,
    check_rules,
    export_pack,
    import_pack,
    new_draft,
    new_draft_rules,
    publish,
    publish_pack,
    publish_rules,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    organization = make_organization()
    make_tiers(organization)
    return organization


@pytest.fixture
def ada(acme):
    return make_member(acme, "ada")


def changed(**changes):
    """The shipped pack with some of its parts replaced."""
    return {**yaml.safe_load(PACK), **changes}


def test_the_shipped_pack_can_be_published_as_it_is(acme):
    version = publish_pack(acme, PACK, by=None, reason="First day")

    assert version.state == "published"
    assert [step.kind for step in version.steps.all()] == ["gather", "decide", "approve", "act"]
    assert version.workflow.rule_sets.get().state == "published"


def test_a_pack_comes_in_as_drafts_and_is_recorded(acme, ada):
    version = import_pack(acme, PACK, by=ada, reason="From the shelf")

    assert version.state == "draft"
    assert version.workflow.rule_sets.get().state == "draft"
    said = list(Entry.objects.order_by("pk").values_list("verb", "user__username", "reason"))
    assert said == [
        ("workflows.version.imported", "ada", "From the shelf"),
        ("workflows.rule_set.imported", "ada", "From the shelf"),
    ]


def test_an_exported_pack_imports_as_the_same(acme):
    first = publish_pack(acme, PACK, by=None, reason="First")
    other = make_organization("other")

    second = import_pack(other, export_pack(first), by=None, reason="Copied")

    assert export_pack(second) == export_pack(first)
    assert yaml.safe_load(export_pack(first))["rules"][8]["conditions"] == [
        {"fact": "customer.refunds_90d", "operator": "at_least", "value": 4}
    ]


def test_a_draft_is_exported_with_the_draft_rules(acme):
    publish_pack(acme, PACK, by=None, reason="First")
    rules = yaml.safe_load(PACK)["rules"][:1]
    version = import_pack(acme, changed(rules=rules), by=None, reason="Shorter")

    assert [rule["name"] for rule in yaml.safe_load(export_pack(version))["rules"]] == [rules[0]["name"]]


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        ("- a list", "A pack is a list of names"),
        ("name: [", "Line 1"),
        ("a: &x 1\nb: *x", "no aliases"),
        ("a: 1\na: 2", "Line 2: “a” is given twice"),
        ("a: !!python/object/apply:os.system ['true']", "no tags"),
        ("[" * 1000, "nested more than"),
        ('a: "\\0"', "cannot be stored"),
        ('a: "\\ud800"', "cannot be stored"),
        ("x" * 300_000, "at most 200,000 characters"),
        (changed(colour="red"), "A pack has no “colour”"),
        (changed(slug=""), "The pack: slug"),
        (changed(slug="no spaces"), "The pack: slug"),
        (changed(name=5), "The pack: name must be a text"),
        (changed(fields={}), "The pack: fields"),
        (changed(steps=[]), "A pack needs a list of steps"),
        (changed(steps=["gather"]), "Step 1 is names with values"),
        (changed(steps=[{"key": "a", "kind": "gather", "then": "b"}]), "Step 1 has no “then”"),
        (changed(steps=[{"kind": "gather"}]), "Step 1: key"),
        (changed(steps=[{"key": "a", "kind": "gather"}] * 2), "Two steps have the same key"),
        (changed(rules=[{"name": "Odd", "conditions": [], "tier": "instant"}]), "Rule 1: conditions"),
        (changed(rules=[{"name": "Odd", "conditions": [{}], "tier": "none"}]), "Rule 1: tier"),
        (changed(rules=[{"name": "x" * 121, "conditions": [{}], "tier": "instant"}]), "Rule 1: name"),
    ],
)
def test_a_pack_that_makes_no_sense_is_refused_and_leaves_nothing(acme, pack, says):
    with pytest.raises(BadPack, match=says):
        import_pack(acme, pack, by=None, reason="Try")

    assert not Workflow.objects.exists()
    assert not Entry.objects.exists()


def test_numbers_with_a_point_stay_text_and_words_stay_words():
    from workflows.pack_text import read

    found = read("share: 0.5\ncountry: no\nday: 2024-01-01\ncode: 010\nmany: 12\nyes: true")

    assert found == {"share": "0.5", "country": "no", "day": "2024-01-01", "code": "010", "many": 12, "yes": True}


STEPS = yaml.safe_load(PACK)["steps"]
UNDERSTAND, DECIDE, APPROVE, REFUND = STEPS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": [UNDERSTAND, DECIDE, REFUND]}, "Step refund: act needs a step of the kind approve before it."),
        ({"steps": [UNDERSTAND, DECIDE, REFUND, APPROVE]}, "Step refund: act needs a step of the kind approve before"),
        ({"steps": [UNDERSTAND, APPROVE, REFUND]}, "Step approve: approve needs a step of the kind decide before it."),
        ({"steps": [DECIDE, APPROVE, REFUND]}, "Step decide: decide needs a step of the kind gather before it."),
        ({"steps": [*STEPS, {"key": "x", "kind": "dance"}]}, "Step x: there is no step kind “dance”"),
        (
            {"steps": [*STEPS[:3], {**REFUND, "config": {"connection": "bank", "operation": "refund"}}]},
            "Step refund: there is no connection “bank”.",
        ),
        (
            {"steps": [*STEPS[:3], {**REFUND, "config": {"connection": "gateway", "operation": "burn"}}]},
            "“burn” is not one of them",
        ),
        (
            {"steps": [{**UNDERSTAND, "config": {"connection": "moon"}}, *STEPS[1:]]},
            "Step understand: there is no connection “moon”.",
        ),
        (
            {"steps": [*STEPS[:3], {**REFUND, "config": {"connection": ["gateway"], "operation": "refund"}}]},
            "Step refund: there is no connection",
        ),
        (
            {"steps": [{**UNDERSTAND, "config": {"connection": "books"}}, *STEPS[1:]]},
            "Step understand: Books knows no payments: name the connection of a payment gateway.",
        ),
        (
            {"steps": [{**UNDERSTAND, "config": {"sources": ["moon"]}}, *STEPS[1:]]},
            "Step understand: sources is a list of request, payment, order, customer.",
        ),
        ({"fields": {"amount": "amount", "currency": "currency", "target": "payment"}}, "where “key” comes from"),
        ({"fields": {"key": "reference"}}, "where “target” comes from"),
        ({"fields": {**changed()["fields"], "colour": "x"}}, "A case has no field “colour”"),
        ({"fields": {**changed()["fields"], "party": 7}}, "“party” must name a field"),
        ({"withdrawn_by": "refund.requested"}, "cannot both open and withdraw"),
    ],
)
def test_what_could_not_run_is_not_published(acme, changes, says):
    Connection.objects.create(organization=acme, slug="books", name="Books", connector="webhook")
    publish_pack(acme, PACK, by=None, reason="Works")
    draft = import_pack(acme, changed(**changes), by=None, reason="Try")

    with pytest.raises(Unpublishable, match=says):
        publish(draft, by=None, reason="Try")

    assert WorkflowVersion.objects.get(state="published").number == 1
    assert not Entry.objects.filter(verb="workflows.version.retired").exists()


def test_a_gateway_that_nobody_named_must_be_there_where_cases_name_payments(acme):
    Connection.objects.filter(organization=acme).update(slug="bank")
    steps = [UNDERSTAND, *STEPS[1:3], {**REFUND, "config": {**REFUND["config"], "connection": "bank"}}]
    named = [{**UNDERSTAND, "config": {"connection": "bank"}}, *steps[1:]]
    lacking, sound = (import_pack(acme, changed(steps=each), by=None, reason="Try") for each in (steps, named))

    says = "Step understand: there is no connection “gateway” to ask about payments: name the one that is asked."
    assert says in check(lacking)
    assert not [text for text in check(sound) if "payments" in text]


def test_a_version_that_decides_needs_published_rules(acme):
    draft = import_pack(acme, PACK, by=None, reason="Try")

    assert check(draft) == ["The workflow has no published rules: publish a rule set first."]


def test_an_event_type_opens_cases_of_one_workflow_only(acme):
    publish_pack(acme, PACK, by=None, reason="Works")
    second = import_pack(acme, changed(slug="second", case_kind="second"), by=None, reason="Try")
    elsewhere = import_pack(make_organization("other"), PACK, by=None, reason="Try")

    assert "“refund.requested” is taken by the workflow Refunds." in check(second)
    assert not [text for text in check(elsewhere) if "taken" in text]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"fact": "moon.phase", "operator": "equals", "value": 1}, "There is no fact “moon.phase”"),
        ({"fact": "amount", "operator": "one_of", "value": ["1.00 GBP"]}, "does not fit amount"),
        ({"fact": "amount", "operator": "above", "value": "50"}, "is no value for amount"),
        ({"fact": "order.days_since", "operator": "above", "value": "ninety"}, "is no value for order.days_since"),
        ({"fact": "order.on_file", "operator": "is_true", "value": True}, "takes no value"),
    ],
)
def test_a_rule_that_could_not_be_evaluated_is_not_published(acme, condition, says):
    rules = [{"name": "Odd", "conditions": [condition], "tier": "full_review"}]
    rule_set = import_pack(acme, changed(rules=rules), by=None, reason="Try").workflow.rule_sets.get()

    with pytest.raises(Unpublishable, match="“Odd”: "):
        publish_rules(rule_set, by=None, reason="Try")

    assert says in check_rules(rule_set)[0]
    assert RuleSet.objects.get().state == "draft"


def test_publishing_retires_the_edition_before_and_says_so(acme, ada):
    first = publish_pack(acme, PACK, by=None, reason="Works")
    draft = new_draft(first, by=None, reason="Better order")

    second = publish(draft, by=ada, reason="Better order")

    first.refresh_from_db()
    assert (first.state, second.state, second.published_by) == ("retired", "published", ada)
    assert second.published_at is not None
    last = Entry.objects.order_by("-pk")[:2]
    assert [(entry.verb, entry.after, entry.user) for entry in last] == [
        ("workflows.version.published", {"published": "refund v2"}, ada),
        ("workflows.version.retired", {}, ada),
    ]
    assert "refund v2 takes its place: Better order" in last[1].reason


def test_a_draft_copies_everything_and_leaves_the_original_alone(acme):
    version = publish_pack(acme, PACK, by=None, reason="Works")
    rule_set = version.workflow.rule_sets.get()

    draft = new_draft(version, by=None, reason="Edit")
    draft_rules = new_draft_rules(rule_set, by=None, reason="Edit")
    draft_rules.rules.update(tier="full_review")

    own = ("position", "key", "kind", "config")
    assert list(draft.steps.values_list(*own)) == list(version.steps.values_list(*own))
    assert draft_rules.rules.count() == rule_set.rules.count() > 10
    assert rule_set.rules.filter(tier="fast_track").exists()
    assert (draft.number, draft_rules.number) == (2, 2)


@pytest.mark.parametrize("editions", [VERSIONS, RULE_SETS], ids=["version", "rules"])
def test_only_a_draft_is_published_or_thrown_away(acme, editions):
    version = publish_pack(acme, PACK, by=None, reason="Works")
    published = version if editions is VERSIONS else version.workflow.rule_sets.get()

    with pytest.raises(NotADraft, match="published already"):
        editions.publish(published, by=None, reason="Again")
    with pytest.raises(NotADraft, match="is kept"):
        editions.discard(published, by=None, reason="Away")

    assert editions.model.objects.get().state == "published"


def test_a_discarded_draft_is_gone_but_not_forgotten(acme, ada):
    version = publish_pack(acme, PACK, by=None, reason="Works")
    draft = new_draft(version, by=ada, reason="Try")

    VERSIONS.discard(draft, by=ada, reason="No better")

    assert list(WorkflowVersion.objects.all()) == [version]
    assert Step.objects.count() == len(STEPS)
    assert Entry.objects.filter(verb="workflows.version.discarded", reason="No better", subject_id=draft.pk).exists()


@pytest.mark.parametrize("model", [Step, Rule])
def test_the_database_keeps_published_parts_frozen(acme, model):
    publish_pack(acme, PACK, by=None, reason="Works")

    for change in (lambda: model.objects.update(position=99), lambda: model.objects.all().delete()):
        with pytest.raises(DatabaseError, match="Cannot change"), transaction.atomic():
            change()


@pytest.mark.django_db(transaction=True)
def test_two_people_publishing_at_once_leave_one_published(acme):
    first = publish_pack(acme, PACK, by=None, reason="Works")
    drafts = [new_draft(first, by=None, reason="Try") for _ in range(2)]
    start = threading.Barrier(2)

    def press(draft):
        start.wait()
        try:
            publish(draft, by=None, reason="Now")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press, args=[draft]) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    states = sorted(WorkflowVersion.objects.values_list("state", flat=True))
    assert states == ["published", "retired", "retired"]
    assert Entry.objects.filter(verb="workflows.version.published").count() == 3
