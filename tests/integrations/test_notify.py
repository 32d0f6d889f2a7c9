"""The step kind `notify`: whom it tells, with what, and only once."""

import json
from typing import Any

import pytest
from django.core import mail

from accounts.models import Membership, Team
from accounts.roles import Role
from auditlog.models import Entry
from integrations.models import Notice
from integrations.tasks import deliver_notices
from opsdesk.lib import clock
from tests.factories import make_member, make_organization
from workflows.engine.intake import take_in
from workflows.models import Case, Event, Failure, Run
from workflows.publishing import check, import_pack, publish_pack
from workflows.tasks import tick

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization("tells")


@pytest.fixture
def team(organization):
    team = Team.objects.create(organization=organization, name="Refunds", slug="refunds")
    for name in ("ada", "ben"):
        make_member(organization, name, Role.OPERATOR, teams=(team,))
    return team


def pack(**config: Any) -> dict[str, Any]:
    told = {"to": {"team": "refunds"}, "subject": "{case}: {case.amount}", "text": "{case.who} asks. {order.share}"}
    return {
        "name": "Tells",
        "slug": "tells",
        "case_kind": "tell",
        "opened_by": "tell.asked",
        "fields": {"key": "reference", "amount": "amount", "currency": "currency", "party": "customer"},
        "steps": [{"key": "tell", "kind": "notify", "config": {**told, **config}}],
    }


def begin(organization, **config: Any) -> Run:
    publish_pack(organization, pack(**config), by=None, reason="For a test.")
    data = {"reference": "T1", "amount": "12.50", "currency": "GBP", "customer": "{order.share}\u202e"}
    Event.objects.create(
        organization=organization, source="test/shop", dedupe_key="1", reader="standard", body_hash="0" * 64,
        body=json.dumps({"type": "tell.asked", "data": data}).encode(),
    )  # fmt: skip
    take_in()
    return Run.objects.get()


def test_a_team_is_told_in_the_app_and_by_mail(organization, team):
    run = begin(organization)
    tick()
    deliver_notices()

    run.refresh_from_db()
    assert (run.state, run.steps.get().note) == ("succeeded", "Told Ada, Ben.")
    assert Notice.objects.filter(state="delivered").count() == 4
    assert sorted(message.to[0] for message in mail.outbox) == ["ada@desk.example", "ben@desk.example"]
    assert mail.outbox[0].subject == f"{run.case}: £12.50"
    # What is put in is not read again, and unseen characters are spelled out.
    assert "Customer {order.share}[U+202E] asks. not known" in mail.outbox[0].body
    assert f"/cases/{run.case_id}/" in mail.outbox[0].body
    assert Entry.objects.get(verb="integrations.notice.written").after == {"people": 2}


def test_a_run_that_comes_by_again_tells_nobody_twice(organization, team):
    run = begin(organization)
    tick()

    Case.objects.update(state="open", closed_at=None)
    Run.objects.update(state="ready", position=0, ended_at=None, wake_at=clock.now())
    tick()

    assert Notice.objects.count() == 4
    assert run.steps.last().note == "They were told in an earlier turn of this run."


def test_the_requester_is_told_where_there_is_an_account(organization):
    ada = make_member(organization, "ada", Role.OPERATOR)
    run = begin(organization, to="requester")
    Case.objects.update(requested_by_user=ada)

    tick()

    assert set(Notice.objects.values_list("recipient__username", flat=True)) == {"ada"}
    assert run.steps.get().note == "Told Ada."


def test_a_requester_from_outside_has_no_account(organization):
    run = begin(organization, to="requester")

    tick()

    assert run.steps.get().note == "Nobody was told: whoever asked has no account here."
    assert not Notice.objects.exists()


def test_who_has_left_is_not_told_and_an_empty_team_is_for_a_person(organization, team):
    run = begin(organization)
    Membership.objects.update(ended_at=clock.now())

    tick()

    run.refresh_from_db()
    assert (run.state, Failure.objects.get().message) == (
        "failed",
        "The team refunds has nobody who could be told.",
    )
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"to": "everybody"}, "to is requester, or {team: short name}"),
        ({"to": {"team": "refunds", "user": "ada"}}, "to is requester, or {team: short name}"),
        ({"to": {"team": "moon"}}, "there is no team “moon” with anybody in it"),
        ({"text": ""}, "text: a text is needed"),
        ({"text": "x" * 2_001}, "text: a text has at most"),
        ({"subject": "x" * 141}, "subject: a text has at most 140"),
        ({"text": "{moon.phase}"}, "“{moon.phase}” names no value"),
        ({"text": "{{7*7}}"}, "names no value"),
        ({"text": "{% load x %}"}, "names no value"),
        ({"text": "{case.__class__}"}, "names no value"),
        ({"text": "{case!r}"}, "names no value"),
        ({"text": "{}"}, "names no value"),
        ({"text": "a } brace"}, "a brace stands alone"),
        ({"text": "{case"}, "a brace stands alone"),
        ({"channel": "chat"}, "notify has no setting “channel”"),
    ],
)
def test_what_could_not_be_said_is_not_published(organization, team, config, says):
    draft = import_pack(organization, pack(**config), by=None, reason="Try")

    assert any(text.startswith("Step tell: ") and says in text for text in check(draft))


def test_every_value_of_a_case_can_be_said(organization, team):
    from workflows.texts import CASE_VALUES

    run = begin(organization, text=" ".join(f"{{{name}}}" for name in CASE_VALUES))
    tick()

    assert "no reason given" in Notice.objects.filter(channel="mail").first().body
    assert run.steps.get().outcome == "done"
