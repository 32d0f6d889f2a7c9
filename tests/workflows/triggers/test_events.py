"""Triggers in packs and at the intake: what an event opens, what publishing refuses, what comes back out."""

import json
from itertools import count

import pytest
import yaml
from django.db import DatabaseError, transaction

from tests.workflows.triggers.conftest import REST, opened, pack, publish, trigger
from workflows.models import Event, Run, Trigger
from workflows.publishing import check, export_pack, import_pack, new_draft, publish_pack
from workflows.triggers import own_events

_numbers = count(1)
WORTH = {"field": "worth", "type": "number", "operator": "above", "value": 100}
BIG = trigger("event", "big", type="parcel.lost", when=[WORTH])
BREAKS = {"field": "fragile", "type": "flag", "operator": "is_true"}
FRAGILE = trigger("event", "fragile", type="parcel.lost", when=[BREAKS])
FORM = trigger("form", title="Ask", fields=[{"name": "what", "label": "What"}])
ALL = (
    BIG,
    FORM,
    trigger("change", record="order", field="total", operator="above", value="1000.00 GBP"),
    trigger("schedule", cron="0 7 * * mon-fri"),
    trigger("age", record="review", standing="open", business_hours=8),
    trigger("workflow"),
)


def hear(organization, **data):
    body = json.dumps({"type": "parcel.lost", "data": data}).encode()
    event = Event.objects.create(
        organization=organization, source="test/shop", dedupe_key=str(next(_numbers)), reader="standard", body=body,
        body_hash="0" * 64,
    )  # fmt: skip
    opened()
    event.refresh_from_db()
    return event


def test_an_event_opens_a_case_by_the_first_trigger_whose_filter_lets_it_through(organization):
    publish(organization, BIG, FRAGILE)

    hear(organization, reference="A", worth="100.01", fragile=True)
    hear(organization, reference="B", worth=5, fragile=True)

    assert list(Run.objects.order_by("pk").values_list("case__key", "trigger__key")) == [("A", "big"), ("B", "fragile")]


def test_an_event_that_no_filter_lets_through_says_which(organization):
    publish(organization, BIG, FRAGILE)

    event = hear(organization, reference="A", worth="5.00", fragile=False)

    assert (event.state, event.reason) == ("ignored", "No filter lets it through: worth is above 100; fragile holds.")
    assert not Run.objects.exists()


def test_an_event_that_cannot_be_filtered_goes_to_people(organization):
    publish(organization, BIG, FRAGILE)

    event = hear(organization, reference="A", worth="5.00")

    assert event.state == "quarantined"
    assert event.reason == "The filter of fragile cannot be answered by what it brings."


def test_the_versions_own_event_type_opens_every_case(organization):
    publish(organization, trigger("workflow"), opened_by="parcel.lost")

    hear(organization, reference="A")

    assert Run.objects.get().trigger is None


def test_nobody_outside_can_say_what_the_desk_says_of_its_own(organization):
    version = publish(organization, FORM)
    body = json.dumps(
        {
            "type": "desk.form", "workflow": "watch", "trigger": "by-form", "by": "me", "requester": 1, "parent": None,
            "data": {"reference": "A"},
        }
    ).encode()  # fmt: skip
    Event.objects.create(
        organization=organization, source="test/shop", dedupe_key="1", reader="standard", body=body, body_hash="0" * 64
    )

    assert opened() == []
    assert Event.objects.get().state == "ignored"
    assert version.state == "published"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type": "desk.form"}', b"\xff"])
def test_a_row_that_the_desk_did_not_write_is_set_aside(organization, body):
    publish(organization, FORM)
    Event.objects.create(
        organization=organization, source="x", dedupe_key="1", reader=own_events.READER, body=body, body_hash="0" * 64
    )

    assert opened() == []
    assert Event.objects.get().state == "quarantined"


def test_what_fires_for_a_trigger_that_is_gone_opens_nothing(organization):
    version = publish(organization, FORM, trigger("workflow"))
    own_events.tell(version.workflow, trigger="by-form", kind="form", key="1", data={"reference": "A"}, by="test")
    publish(organization, trigger("workflow"))

    assert opened() == []
    assert Event.objects.get().reason == "watch v2 has no trigger by-form any more."


def test_a_pack_brings_every_kind_and_gives_it_back(organization):
    version = publish(organization, *ALL)

    again = yaml.safe_load(export_pack(version))

    assert again["triggers"] == [{name: value for name, value in each.items() if value} for each in ALL]
    draft = new_draft(version, by=None, reason="Edit")
    own = ("position", "key", "kind", "config")
    assert list(draft.triggers.values_list(*own)) == list(version.triggers.values_list(*own))


def test_the_database_keeps_published_triggers_frozen(organization):
    publish(organization, FORM)

    for change in (lambda: Trigger.objects.update(position=99), lambda: Trigger.objects.all().delete()):
        with pytest.raises(DatabaseError, match="Cannot change a trigger"), transaction.atomic():
            change()


def bad(kind, **config):
    return [trigger(kind, **config)]


FIELD = {"name": "what", "label": "What"}


@pytest.mark.parametrize(
    ("triggers", "says"),
    [
        ([], "Nothing begins it"),
        (bad("event"), "type is an event's type"),
        (bad("event", type="parcel lost"), "type is an event's type"),
        (bad("event", type="parcel.lost", when="all"), "a list of conditions"),
        (bad("event", type="parcel.lost", then="x"), "no setting “then”"),
        (bad("schedule", cron="* * *"), "five fields"),
        (bad("schedule"), "five fields"),
        (bad("workflow", slug="x"), "no setting “slug”"),
        (bad("change", record="moon"), "record is one of action, case, customer"),
        (bad("change", record="payment", field="colour"), "field is one of captured, refunded"),
        (bad("change", record="payment", field="refunded", operator="equals"), "operator is one of above"),
        (bad("change", record="payment", field="refunded", operator="above", value="100"), "write 100.00 GBP"),
        (bad("change", record="payment", field="refunded", operator="above", value="1.001 GBP"), "write 100.00 GBP"),
        (bad("change", record="payment", field="overbooked", operator="is_true", value=True), "no value at all"),
        (bad("age", record="moon"), "record is one of"),
        (bad("age", record="payment", standing="open"), "standing is one of none"),
        (bad("age", record="review", standing="open", business_hours=0), "business_hours is a whole number"),
        (bad("form", fields=[FIELD]), "title is a text"),
        (bad("form", title="Ask"), "a form needs a list of fields"),
        (bad("form", title="Ask", fields=[{**FIELD, "name": "What?"}]), "field 1: its name is a word"),
        (bad("form", title="Ask", fields=[{**FIELD, "name": "reference"}]), "“reference” is filled in by the desk"),
        (bad("form", title="Ask", fields=[{"name": "what"}]), "field 1: it needs a label"),
        (bad("form", title="Ask", fields=[{**FIELD, "type": "file"}]), "no type “file”"),
        (bad("form", title="Ask", fields=[{**FIELD, "type": "choice"}]), "its choices are a list"),
        (bad("form", title="Ask", fields=[{**FIELD, "choices": ["a"]}]), "only a field of the type choice"),
        (bad("form", title="Ask", fields=[{**FIELD, "pattern": "(a+)+"}]), "no setting “pattern”"),
        (bad("form", title="Ask", fields=[FIELD, FIELD]), "two fields are named “what”"),
    ],
)
def test_a_trigger_that_could_not_fire_is_not_published(organization, triggers, says):
    draft = import_pack(organization, pack(*triggers), by=None, reason="Try")

    assert any(says in text for text in check(draft))


def test_a_trigger_must_say_the_key_of_its_case(organization):
    draft = import_pack(organization, pack(FORM, fields={"key": "number"}), by=None, reason="Try")

    assert check(draft) == ["Trigger by-form: it does not say “number”, the key of a case."]


def test_an_event_type_has_one_meaning(organization):
    publish(organization, BIG)
    other = {"slug": "other", "case_kind": "other"}

    same = import_pack(organization, pack(FRAGILE, **other), by=None, reason="Try")
    both = import_pack(organization, pack(BIG, withdrawn_by="parcel.lost", **other), by=None, reason="Try")
    twice = import_pack(organization, pack(BIG, opened_by="parcel.lost"), by=None, reason="Try")

    assert check(same) == ["“parcel.lost” is taken by the workflow Watch."]
    assert "“parcel.lost” cannot both open and withdraw a case." in check(both)
    assert check(twice) == ["“parcel.lost” opens every case already: no trigger of that type would be asked."]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"triggers": []}, "A pack needs a list of triggers"),
        ({"triggers": [{"key": "a", "kind": "dream"}]}, "Trigger 1: kind"),
        ({"triggers": [{"key": "a b", "kind": "workflow"}]}, "Trigger 1: key"),
        ({"triggers": [{"key": "a", "kind": "workflow"}] * 2}, "Two triggers have the same key"),
        ({"triggers": [{"key": "a", "kind": "workflow", "when": []}]}, "Trigger 1 has no “when”"),
    ],
)
def test_a_pack_whose_triggers_make_no_sense_is_refused(organization, changes, says):
    from workflows.errors import BadPack

    with pytest.raises(BadPack, match=says):
        import_pack(organization, {**pack(), **changes}, by=None, reason="Try")


def test_a_draft_without_an_amount_has_cases_without_one(organization):
    publish_pack(organization, pack(FORM, steps=REST), by=None, reason="For a test.")
    workflow = Trigger.objects.get().version.workflow
    own_events.tell(workflow, trigger="by-form", kind="form", key="1", data={"reference": "A"}, by="test")

    opened()

    case = Run.objects.get().case
    assert (case.amount, case.problems) == (None, [])
