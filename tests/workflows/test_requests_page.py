"""Forms that open cases: what they show, what they refuse, and whose the case is."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from approvals.voters import involved_in, person_key
from auditlog.models import Entry
from tests.factories import FORM, make_cast, make_form, make_organization, make_review
from workflows.models import Case, Event, Trigger
from workflows.publishing import new_draft, publish, publish_pack

pytestmark = pytest.mark.django_db
FILLED = {"what": "A ladder", "amount": "12.50", "currency": "GBP"}


@pytest.fixture
def organization():
    return make_organization("asks")


@pytest.fixture
def cast(organization):
    return make_cast(organization)


@pytest.fixture
def form(organization):
    return make_form(organization)


@pytest.fixture
def ada(client: Client, cast):
    client.force_login(cast.ada)
    return client


def send(client, form, **filled):
    page = client.get(reverse("workflows:request", args=[form.pk])).content.decode()
    token = re.search(r'name="token" value="([^"]+)"', page)[1]
    return token, client.post(reverse("workflows:send_request", args=[form.pk]), {"token": token, **filled})


def test_the_list_names_the_forms_of_the_organization(ada, form):
    make_form(make_organization("other"))

    page = ada.get(reverse("workflows:requests")).content.decode()

    assert page.count("Ask for an errand") == 1
    assert "Somebody of the team takes it on." in page


def test_a_form_shows_its_fields_with_labels_and_kinds(ada, form):
    page = ada.get(reverse("workflows:request", args=[form.pk])).content.decode()

    for field in FORM["triggers"][0]["config"]["fields"]:
        assert field["label"] in page
    assert 'type="date"' in page
    assert '<textarea name="more"' in page
    assert '<option value="JPY">JPY</option>' in page
    assert page.count("may stay empty") == 3


def test_what_is_sent_opens_a_case_in_the_name_of_whoever_asks(ada, cast, form):
    _, answer = send(ada, form, **FILLED, urgent="on", pieces="3", by="2027-03-28", more="")

    case = Case.objects.get()
    assert answer.headers["Location"] == reverse("approvals:case", args=[case.pk])
    assert (str(case.amount), case.requested_by_user, case.requested_by) == ("£12.50", cast.ada, str(cast.ada))
    assert case.key.startswith("F-")
    said = {name: case.data[name] for name in ("what", "amount", "currency", "urgent", "pieces", "by")}
    assert said == {**FILLED, "urgent": True, "pieces": 3, "by": "2027-03-28"}
    assert "more" not in case.data
    run = case.runs.get()
    assert (run.trigger, run.state) == (form, "ready")
    assert Entry.objects.get(verb="workflows.case.opened").user == cast.ada
    assert person_key(cast.ada) in involved_in(make_review(case))


def test_pressed_twice_it_opens_one_case(ada, form):
    token, _ = send(ada, form, **FILLED)

    again = ada.post(reverse("workflows:send_request", args=[form.pk]), {"token": token, **FILLED})

    assert Case.objects.count() == Event.objects.count() == 1
    assert again.headers["Location"] == reverse("approvals:case", args=[Case.objects.get().pk])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"what": ""}, "This field is required"),
        ({"what": "x" * 201}, "at most 200 characters"),
        ({"amount": "ten"}, "Write digits with a point"),
        ({"amount": "10,00"}, "Write digits with a point"),
        ({"amount": "NaN"}, "Write digits with a point"),
        ({"amount": "1e5"}, "Write digits with a point"),
        ({"amount": "0.00"}, "must be above zero"),
        ({"amount": "-5.00"}, "must be above zero"),
        ({"amount": "1.001"}, "more decimals than GBP has"),
        ({"amount": "1.50", "currency": "JPY"}, "more decimals than JPY has"),
        ({"currency": "EUR"}, "Select a valid choice"),
        ({"by": "yesterday"}, "Enter a valid date"),
        ({"pieces": "many"}, "Enter a whole number"),
        ({"what": "a\x00b"}, "Null characters are not allowed"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field_and_opens_nothing(ada, form, changes, says):
    _, answer = send(ada, form, **{**FILLED, **changes})

    assert answer.status_code == 422
    assert says in answer.content.decode()
    if "what" not in changes:
        assert 'value="A ladder"' in answer.content.decode()
    assert not Event.objects.exists()


def test_fields_that_no_form_declares_change_nothing(ada, form):
    _, _ = send(ada, form, **FILLED, requester="1", state="done", requested_by="somebody", reference="MINE", file="x")

    case = Case.objects.get()
    assert (case.state, "state" in case.data, "file" in case.data) == ("open", False, False)
    assert case.key != "MINE"
    assert case.requested_by != "somebody"


def test_a_page_of_an_earlier_version_sends_to_the_one_in_force(ada, form):
    newer = publish(new_draft(form.version, by=None, reason="Edit"), by=None, reason="Edit")

    _, answer = send(ada, form, **FILLED)

    assert answer.status_code == 302
    assert Case.objects.get().runs.get().trigger == newer.triggers.get()


def test_the_form_of_another_organization_is_not_there(ada, form):
    theirs = make_form(make_organization("other"))

    assert ada.get(reverse("workflows:request", args=[theirs.pk])).status_code == 404
    assert ada.post(reverse("workflows:send_request", args=[theirs.pk]), FILLED).status_code == 404
    assert not Event.objects.exists()


def test_a_form_that_is_no_longer_declared_is_gone(ada, organization, form):
    declared = {**FORM, "opened_by": "errand.asked"}
    declared.pop("triggers")
    publish_pack(organization, declared, by=None, reason="No more forms")

    assert ada.get(reverse("workflows:request", args=[form.pk])).status_code == 404
    assert "No form yet" in ada.get(reverse("workflows:requests")).content.decode()


def test_markup_in_a_declaration_is_shown_as_text(ada, organization):
    config = {"title": "<b>Ask</b>", "fields": [{"name": "what", "label": "<script>x</script>", "help": "<i>h</i>"}]}
    pack = {**FORM, "triggers": [{"key": "ask", "kind": "form", "config": config}], "fields": {"key": "reference"}}
    publish_pack(organization, pack, by=None, reason="For a test.")

    page = ada.get(reverse("workflows:request", args=[Trigger.objects.get().pk])).content.decode()

    assert "<script>x" not in page
    assert "<b>Ask" not in page
    assert "<i>h" not in page
    assert "&lt;script&gt;" in page
