"""Erasing a person: nothing of them is left anywhere, sums and seals stay, and a restore brings nobody back."""

import json
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Proposal
from approvals.models import Comment, Question
from auditlog.models import Entry, LegalHold
from auditlog.seals.verifying import verify
from auditlog.services import Actor, record
from auditlog.tracking import models_of_the_desk
from integrations.models import Action, Call, Customer, Notice
from integrations.states import ActionState
from opsdesk.erasure import marks
from opsdesk.erasure.places import PLACES
from opsdesk.lib import clock
from tests.auditlog.sealed import close
from tests.factories import make_action, make_case, make_desk, make_review, make_vote
from workflows.models import Case, Correction, Decision, Event, Run
from workflows.states import CaseState

pytestmark = pytest.mark.django_db
NUMBER, NAME, MAIL = "cust-canary-4711", "Quirina Kanarienvogel", "quirina@kanarienvogel.example"
CANARIES = (NUMBER, "Kanarienvogel", "Quirina")


@pytest.fixture(autouse=True)
def _list_of_its_own(settings, tmp_path):
    settings.VAR_DIR = tmp_path


@pytest.fixture
def desk():
    return make_desk()


@pytest.fixture
def case(desk):
    """A closed case in which the customer's name stands everywhere it could."""
    organization, cast = desk
    told = f"{NAME} ({MAIL}) wrote."
    case = make_case(
        organization,
        party=NUMBER,
        party_name=NAME,
        requested_by=MAIL,
        data={"reference": "C-1", "order": "53", "customer": NUMBER, "mail": MAIL, "contact": {"name": NAME}},
        state=CaseState.DONE,
    )
    review = make_review(case)
    make_vote(review, cast.ada, text=told)
    action = make_action(review.run, state=ActionState.VERIFIED, fields={"to": MAIL}, message=told)
    Call.objects.create(
        connection=action.connection, action=action, operation="refund", method="POST", path=f"/c/{NUMBER}",
        outcome="ok", message=told, milliseconds=3,
    )  # fmt: skip
    Run.objects.filter(pk=review.run_id).update(facts={"customer.name": {"value": NAME}}, kept={"mail": MAIL})
    Event.objects.create(
        organization=organization, source="x", dedupe_key="1", reader="shop", body=json.dumps({"name": NAME}).encode(),
        body_hash="0" * 64, case=case,
    )  # fmt: skip
    Comment.objects.create(organization=organization, case=case, author=cast.ada, text=told)
    Correction.objects.create(case=case, user=cast.ada, before={"name": NAME}, after={"name": "C. K"}, reason=told)
    Notice.objects.create(
        organization=organization, recipient=cast.ada, channel="mail", subject=NAME, body=told, case=case
    )
    Question.objects.create(
        organization=organization, case=case, review=review, text=told, asked_by=cast.ada, left=None, answer=told,
        answered_by=MAIL, state="answered", token_hash="t", expires_at=clock.now(), closed_at=clock.now(),
    )  # fmt: skip
    Customer.objects.create(
        organization=organization, reference=NUMBER, name=NAME, country="GB", since=clock.now(), read_at=clock.now()
    )
    Proposal.objects.create(
        organization=organization, page="auditlog.legalhold", row_id=1, title=f"hold of {NAME}",
        form={"party": [NUMBER]}, stamp="x", before={"party": NUMBER}, after={"lifted": True},
        reason=told, proposed_by=cast.ada,
    )  # fmt: skip
    LogEntry.objects.create(user=cast.ada, action_flag=2, object_repr=NUMBER, change_message=told)
    record(
        "workflows.case.corrected",
        actor=Actor.person(cast.ada),
        organization_id=organization.pk,
        subject=("case", case.pk),
        case_id=case.pk,
        reason=told,
        before={"mail": MAIL},
        after={"amount": 14148},
    )
    return case


def found_anywhere() -> list[str]:
    """Every row of every table in which a canary stands, as text or as the bytes of a text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            for canary in CANARIES:
                cursor.execute(
                    f'SELECT t::text FROM "{table}" t WHERE t::text ILIKE %s OR t::text LIKE %s',  # noqa: S608
                    [f"%{canary}%", f"%{canary.encode().hex()}%"],
                )
                found += [f"{table}: {row}" for (row,) in cursor.fetchall()]
    return found


def erase(organization, *more) -> str:
    said = StringIO()
    call_command("erase", "person", "--organization", organization.slug, "--reason", "She asked.", *more, stdout=said)
    return said.getvalue()


def test_nothing_of_a_customer_is_left_and_sums_and_seals_stay(desk, case, django_capture_on_commit_callbacks):
    organization, _ = desk
    close()
    assert len(found_anywhere()) > 12
    action, decision = Action.objects.get(), Decision.objects.get()

    with django_capture_on_commit_callbacks(execute=True):
        said = erase(organization, "--customer", NUMBER)
        said += erase(organization, "--requester", MAIL)

    assert found_anywhere() == [] and not any(canary in said for canary in CANARIES)
    assert verify().found == ""
    after = Case.objects.get()
    assert (after.amount_minor, after.target, after.party) == (case.amount_minor, case.target, _mark(organization))
    assert Action.objects.get().amount_minor == action.amount_minor
    assert Decision.objects.get().content_hash == decision.content_hash
    assert Entry.objects.filter(verb="opsdesk.person.erased").count() == 2
    listed = marks.place().read_text()
    assert _mark(organization) in listed and not any(canary in listed for canary in CANARIES)


def _mark(organization) -> str:
    return marks.mark_of(organization.pk, NUMBER, customer=True)


def test_a_restore_brings_nobody_back(desk, case, django_capture_on_commit_callbacks):
    organization, _ = desk
    marks._append(json.dumps({"organization": organization.slug, "mark": _mark(organization)}))
    said = StringIO()

    call_command("erase", "again", stdout=said)
    call_command("erase", "again", stdout=said)

    assert said.getvalue().split("\n")[:2] == ["1 people were erased again.", "0 people were erased again."]
    assert Case.objects.get().party == _mark(organization) and found_anywhere() == []


def test_who_is_still_served_or_held_is_not_erased(desk, case):
    organization, _ = desk
    hold = LegalHold.objects.create(organization=organization, party=NUMBER)
    with pytest.raises(CommandError, match="legal hold"):
        erase(organization, "--customer", NUMBER)

    hold.lifted = True
    hold.save()
    open_one = make_case(organization, party=NUMBER)
    with pytest.raises(CommandError, match=f"{open_one} must be closed first"):
        erase(organization, "--customer", NUMBER)
    assert Case.objects.filter(party=NUMBER).count() == 2


def test_people_of_another_organization_stay(desk, case):
    strangers, _ = make_desk("elsewhere", suffix="-elsewhere")
    theirs = make_case(strangers, party=NUMBER, party_name=NAME, state=CaseState.DONE)

    erase(desk[0], "--customer", NUMBER)

    theirs.refresh_from_db()
    assert (theirs.party, theirs.party_name) == (NUMBER, NAME)


def test_every_table_that_belongs_to_cases_is_looked_at():
    named = {place.label for place in PLACES}
    # They hold numbers, sums, moments and what the desk itself calls things.
    named |= {"approvals.Claim", "integrations.Refund", "workflows.Authorization"}
    of_cases = {"Case", "Run", "Review", "Action", "Payment"}

    for model in models_of_the_desk():
        points_at = {field.related_model.__name__ for field in model._meta.concrete_fields if field.is_relation}
        assert model._meta.label in named or not points_at & of_cases, model
