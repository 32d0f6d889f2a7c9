"""Erasing a person from the screen: looked at first, agreed on by two, told without their name, and taken as a file."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from accounts.models import Proposal
from accounts.roles import Role
from auditlog.models import Entry, LegalHold
from auditlog.seals.verifying import verify
from opsdesk.erasure import agreed, looking
from opsdesk.models import PersonErasure
from tests.admin.conftest import signed_in
from tests.auditlog.sealed import close
from tests.definitions import make_member
from tests.factories import make_case, make_desk
from tests.opsdesk.test_erasing import NAME, NUMBER, case, desk, found_anywhere
from workflows.models import Case

__all__ = ["case", "desk"]
pytestmark = pytest.mark.django_db
PLACE = reverse("admin:opsdesk_personerasure_add")
ASKED = {"kind": "customer", "name": NUMBER, "change_reason": f"{NAME} asked for it."}


@pytest.fixture(autouse=True)
def _list_of_its_own(settings, tmp_path):
    settings.VAR_DIR = tmp_path


@pytest.fixture
def first(desk):
    return signed_in(make_member(desk[0], "iris", Role.ADMIN, is_staff=True))


@pytest.fixture
def second(desk):
    return signed_in(make_member(desk[0], "jonas", Role.ADMIN, is_staff=True))


def proposed():
    """Erasures that were proposed; the person stands in a proposal about a hold as well."""
    return Proposal.objects.filter(page="opsdesk.personerasure")


def agree(browser) -> str:
    place = reverse("admin:accounts_proposal_publish", args=[proposed().get().pk])
    return browser.post(place, follow=True).content.decode()


def test_it_is_looked_at_proposed_and_carried_out_by_another(desk, case, first, second):
    close()
    looked = first.post(PLACE, {**ASKED, "look": "1"}).content.decode()
    assert "What would happen" in looked and "entries of the audit log with texts that name them" in looked
    assert "It can be proved who of the desk decided what." in looked and NUMBER in looked
    assert not proposed().exists()

    first.post(PLACE, ASKED)
    asked = second.get(reverse("admin:accounts_proposal_change", args=[proposed().get().pk])).content.decode()
    assert NUMBER in asked and "comments" in asked and "agreed" not in asked
    assert "so another person puts it in force." in agree(first)
    assert Case.objects.get().party == NUMBER and not PersonErasure.objects.exists()
    said = agree(second)

    assert "It is in force." in said
    done = PersonErasure.objects.get()
    assert (done.name, done.cases, done.cleared["cases"]) == ("", 1, 1) and done.done_at is not None
    assert done.agreed_by.username == "jonas" and done.agreed_at is not None
    assert Case.objects.get().party == done.mark
    assert found_anywhere() == []
    assert verify().found == ""
    assert Entry.objects.filter(verb="opsdesk.person.erased", user__username="jonas").count() == 1

    page = second.get(reverse("admin:opsdesk_personerasure_change", args=[done.pk])).content.decode()
    assert "It is done." in page
    file = second.get(reverse("admin:opsdesk_personerasure_export", args=[done.pk]))
    told = json.loads(file.content)
    assert file["Content-Disposition"].startswith("attachment;")
    assert (told["mark"], told["cases"], len(told["stays"])) == (done.mark, 1, len(looking.STAYS))


def test_who_is_still_served_held_or_not_there_is_not_proposed(desk, case, first):
    hold = LegalHold.objects.create(organization=desk[0], party=NUMBER)
    held = first.post(PLACE, ASKED, follow=True).content.decode()
    LegalHold.objects.filter(pk=hold.pk).update(lifted=True)
    make_case(desk[0], party=NUMBER)
    served = first.post(PLACE, {**ASKED, "look": "1"}).content.decode()
    nobody = first.post(PLACE, {**ASKED, "name": "no-such"}, follow=True).content.decode()

    assert "A legal hold keeps what the desk has of this person." in held
    assert "must be closed first" in served
    assert "Nothing here is about them" in nobody
    assert not proposed().exists() and not PersonErasure.objects.exists()


def test_a_hold_set_meanwhile_keeps_them(desk, case, first, second):
    first.post(PLACE, ASKED)
    LegalHold.objects.create(organization=desk[0], party=NUMBER)

    assert "A legal hold keeps" in agree(second)
    assert not PersonErasure.objects.exists() and Case.objects.get().party == NUMBER


def test_where_the_desk_may_not_the_owner_of_the_tables_does(desk, case, first, second, monkeypatch):
    monkeypatch.setattr(looking, "may_erase", lambda: False)
    first.post(PLACE, ASKED)
    agree(second)
    waiting = PersonErasure.objects.get()
    page = second.get(reverse("admin:opsdesk_personerasure_change", args=[waiting.pk])).content.decode()
    assert "it waits for whoever owns the tables" in page and waiting.done_at is None

    hold = LegalHold.objects.create(organization=desk[0], party=NUMBER)
    said = StringIO()
    call_command("erase", "agreed", stdout=said)
    LegalHold.objects.filter(pk=hold.pk).update(lifted=True)
    call_command("erase", "agreed", stdout=said)

    assert "A legal hold keeps" in said.getvalue() and "erased in 1 cases." in said.getvalue()
    assert PersonErasure.objects.get().name == ""
    assert list(agreed.carry_out_all(actor=None)) == []


def test_another_organization_sees_nothing_of_it(desk, case):
    strangers, _ = make_desk("elsewhere", suffix="-elsewhere")
    stranger = signed_in(make_member(strangers, "kim", Role.ADMIN, is_staff=True))
    row = PersonErasure.objects.create(organization=desk[0], name=NUMBER, mark="erased-x")

    for name in ("change", "export"):
        place = reverse(f"admin:opsdesk_personerasure_{name}", args=[row.pk])
        assert stranger.get(place).status_code in (302, 404)
    assert "erased-x" not in stranger.get(reverse("admin:opsdesk_personerasure_changelist")).content.decode()
