"""Rules in the admin: conditions by drop-downs, read back in words, and the facts they may ask for."""

import pytest
from django.urls import reverse
from django.utils.html import escape

from auditlog.models import Entry
from tests.admin.conftest import signed_in
from tests.admin.sent import WHY, conditions_data, errors, page, rule_data, rules_data
from workflows import facts
from workflows.models import Rule, RuleSet
from workflows.publishing import new_draft_rules


def test_rules_read_back_in_words_beside_the_way_to_their_page(desk, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    rule = draft.rules.get(name="Four or more refunds in 90 days")

    overview = desk.get(page(draft)).content.decode()
    own = desk.get(page(rule)).content.decode()
    frozen = desk.get(page(rule_set.rules.get(name=rule.name))).content.decode()

    for text in (overview, own, frozen):
        assert "refunds in 90 days is at least 4: at least full review" in text
    assert f'href="{page(rule)}"' in overview
    assert f"{reverse('admin:workflows_rule_add')}?rule_set={draft.pk}" in overview
    assert 'name="_save"' in own and 'name="_save"' not in frozen


def test_a_changed_rule_is_recorded_alone_with_who_changed_it(desk, tomasz, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    rule = draft.rules.order_by("position")[3]

    answer = desk.post(page(rule), rule_data(rule, tier="fast_track"))

    assert answer.url == page(draft)
    entry = Entry.objects.get(verb="workflows.rule_set.changed")
    assert (entry.subject_kind, entry.subject_id) == ("rule_set", draft.pk)
    assert entry.before == {f"rule {rule.pk}": {"tier": "full_review"}}
    assert entry.after == {f"rule {rule.pk}": {"tier": "fast_track"}}
    assert entry.reason == "Agreed with finance"
    draft.refresh_from_db()
    assert draft.edited_by == tomasz


def test_saving_a_rule_as_it_is_changes_and_records_nothing(desk, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    before = list(draft.rules.values())

    for rule in draft.rules.all():
        answer = desk.post(page(rule), rule_data(rule))
        assert answer.status_code == 302, answer.context["adminform"].form.errors

    assert list(draft.rules.values()) == before
    assert not Entry.objects.filter(verb="workflows.rule_set.changed").exists()
    assert RuleSet.objects.get(pk=draft.pk).edited_by is None


def test_a_rule_is_added_at_the_end_and_rules_change_places(desk, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    names = list(draft.rules.values_list("name", flat=True))
    condition = {"fact": "amount", "operator": "above", "value": "1000.00 GBP"}
    new = {"rule_set": draft.pk, "name": "Large", "match": "all", "effect": "at_least", "tier": "full_review"}

    added = desk.post(reverse("admin:workflows_rule_add"), {**new, **conditions_data("conditions", [condition]), **WHY})
    data = rules_data(draft)
    data["rules-0-position"], data["rules-1-position"] = 2, 1
    answer = desk.post(page(draft), data)

    assert added.url == page(draft)
    assert answer.status_code == 302, errors(answer)
    assert list(draft.rules.values_list("name", flat=True)) == [names[1], names[0], *names[2:], "Large"]
    assert list(draft.rules.values_list("position", flat=True)) == list(range(1, len(names) + 2))
    assert draft.rules.get(name="Large").conditions == [condition]


TYPED = {
    "money": ({"fact": "amount", "operator": "above", "value": " 50.5", "currency": "gbp"}, "50.5 GBP"),
    "days": ({"fact": "order.days_since", "operator": "above", "value": "90"}, 90),
    "count": ({"fact": "customer.refunds_30d", "operator": "at_least", "value": "4"}, 4),
    "share": ({"fact": "order.share", "operator": "at_least", "value": "0.25"}, "0.25"),
    "percent": ({"fact": "order.share", "operator": "at_least", "value": "12.5 %"}, "0.125"),
    "text": ({"fact": "request.reason", "operator": "equals", "value": "returned"}, "returned"),
    "list": ({"fact": "request.reason", "operator": "one_of", "value": "lost\r\n damaged\r\n"}, ["lost", "damaged"]),
    "flag": ({"fact": "order.on_file", "operator": "is_false", "value": " "}, None),
}


@pytest.mark.parametrize(("row", "stored"), TYPED.values(), ids=TYPED)
def test_values_are_typed_as_their_fact_is(desk, rule_set, row, stored):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    rule = draft.rules.first()
    typed = {f"conditions-0-{part}": value for part, value in row.items()}

    answer = desk.post(page(rule), {**rule_data(rule), "conditions-0-currency": "", **typed})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    rule.refresh_from_db()
    value = {} if stored is None else {"value": stored}
    assert rule.conditions == [{"fact": row["fact"], "operator": row["operator"], **value}]


NONSENSE = [
    {"fact": ""},
    {"fact": "moon"},
    {"fact": "amount.__class__"},
    {"operator": ""},
    {"operator": "matches"},
    {"operator": "one_of"},
    {"operator": "is_known"},
    {"value": ""},
    {"value": "{{7*7}}"},
    {"value": "1e9"},
    {"value": "50.001"},
    {"value": "\u0661\u0662"},
    {"value": "9" * 500},
    {"currency": ""},
    {"currency": "XXX"},
    {"fact": "order.days_since", "value": "1.5"},
    {"fact": "order.days_since", "value": "9" * 16},
    {"fact": "order.share", "value": "NaN"},
    {"fact": "order.share", "value": "1e999999"},
    {"fact": "request.reason", "operator": "equals", "value": "x" * 201},
    {"fact": "request.reason", "operator": "one_of", "value": "\n".join(map(str, range(201)))},
    {"fact": "request.reason", "operator": "equals", "value": "a\x00b"},
    {"fact": "request.reason", "operator": "equals", "value": "a\ud800b"},
]


@pytest.mark.parametrize("row", NONSENSE, ids=lambda row: str(row)[:50])
def test_a_condition_that_makes_no_sense_is_refused_where_it_stands(desk, rule_set, row):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    rule = draft.rules.first()
    typed = {"fact": "amount", "operator": "above", "value": "50.00", "currency": "GBP", **row}
    data = {**rule_data(rule), **{f"conditions-0-{part}": value for part, value in typed.items()}}

    answer = desk.post(page(rule), {name: str(value).encode("utf-8", "surrogatepass") for name, value in data.items()})

    assert answer.status_code == 200
    assert "conditions" in answer.context["adminform"].form.errors
    assert Rule.objects.get(pk=rule.pk).conditions == rule.conditions


def test_a_rule_without_conditions_or_with_too_many_is_refused(desk, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    rule = draft.rules.first()
    flag = {"fact": "order.on_file", "operator": "is_true"}

    for count in (0, 201):
        answer = desk.post(page(rule), {**rule_data(rule), **conditions_data("conditions", [flag] * count)})
        assert "conditions" in answer.context["adminform"].form.errors, count
    many = desk.post(page(rule), {**rule_data(rule), **conditions_data("conditions", [flag] * 200)})

    assert many.status_code == 302
    assert len(Rule.objects.get(pk=rule.pk).conditions) == 200
    assert desk.get(page(rule)).status_code == 200


def test_rules_of_a_published_set_and_of_others_stay_as_they_are(desk, rule_set, zoe):
    rule = rule_set.rules.first()
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    theirs = signed_in(zoe)
    new = {"name": "Mine", "match": "all", "effect": "flag", "tier": "full_review", **WHY}
    new |= conditions_data("conditions", [{"fact": "order.on_file", "operator": "is_true"}])

    assert desk.post(page(rule), rule_data(rule, name="Other")).status_code == 403
    into_frozen = desk.post(reverse("admin:workflows_rule_add"), {**new, "rule_set": rule_set.pk})
    into_ours = theirs.post(reverse("admin:workflows_rule_add"), {**new, "rule_set": draft.pk})
    theirs.post(page(draft.rules.first()), rule_data(draft.rules.first(), name="Other"))

    for refused in (into_frozen, into_ours):
        assert "rule_set" in refused.context["adminform"].form.errors
    assert not Rule.objects.filter(name__in=["Mine", "Other"]).exists()


def test_facts_say_what_they_are_and_who_asks_for_them(desk, rule_set, zoe):
    text = desk.get(reverse("admin:workflows_ruleset_facts")).content.decode()
    theirs = signed_in(zoe).get(reverse("admin:workflows_ruleset_facts")).content.decode()

    for fact in facts.catalogue().values():
        assert fact.name in text and escape(fact.sentence) in text
    assert "refund: Four or more refunds in 90 days (" in text
    assert "Four or more" not in theirs


def test_a_rule_is_taken_out(desk, rule_set):
    draft = new_draft_rules(rule_set, by=None, reason="Edit")
    gone = draft.rules.order_by("position")[2]

    desk.post(page(draft), {**rules_data(draft), "rules-2-DELETE": "on"})

    assert gone.name not in draft.rules.values_list("name", flat=True)
    assert list(draft.rules.values_list("position", flat=True)) == list(range(1, rule_set.rules.count()))
    assert f"rule {gone.pk}" in Entry.objects.get(verb="workflows.rule_set.changed").before
