"""Who gives rights does not keep the log of it, where the organization says so: in people, not in accounts."""

import pytest
from django.urls import reverse

from accounts.models import Membership, Organization, Proposal
from accounts.roles import Permission, Role
from auditlog.models import LegalHold, RetentionPolicy
from auditlog.retention import kinds
from opsdesk.lib import clock
from tests.admin.conftest import signed_in
from tests.admin.test_people import organization_data
from tests.definitions import make_member
from workflows.waits import Look, rows_of, waiting_kinds

WHY = {"change_reason": "Asked by the board"}
AUDIT_PAGES = ["auditlog_retentionpolicy", "auditlog_legalhold", "opsdesk_personerasure"]
ACCESS_PAGES = ["accounts_membership", "accounts_user", "accounts_organization", "accounts_team", "accounts_grouprole"]


def opens(browser, pages, name="changelist"):
    return [browser.get(reverse(f"admin:{page}_{name}")).status_code == 200 for page in pages]


def switch(browser, organization, **changes):
    address = reverse("admin:accounts_organization_change", args=[organization.pk])
    return browser.post(address, organization_data(organization, **changes))


@pytest.fixture
def iris(acme):
    """An auditor whose account opens the admin."""
    return make_member(acme, "iris", Role.AUDITOR, is_staff=True)


@pytest.fixture
def apart(acme, iris):
    """The organization keeps its log apart."""
    Organization.objects.filter(pk=acme.pk).update(audit_kept_apart=True)
    acme.refresh_from_db()
    return acme


def test_without_the_setting_admins_set_both_and_auditors_nothing(desk, acme, iris):
    assert all(opens(desk, AUDIT_PAGES + ACCESS_PAGES))
    assert signed_in(iris).get(reverse("admin:index"), follow=True).status_code == 403


def test_with_it_each_has_their_own_pages_and_no_form_reaches_the_others(desk, apart, iris):
    auditor = signed_in(iris)
    hold = {"party": "C-1", "case_id": "", **WHY}
    policy = {"kind": kinds.known()[0][0], "days": 4_000, "enabled": "on", **WHY}

    assert not any(opens(desk, AUDIT_PAGES))
    assert all(opens(desk, ACCESS_PAGES))
    assert all(opens(auditor, AUDIT_PAGES))
    assert not any(opens(auditor, ACCESS_PAGES))
    for page, form in (("auditlog_legalhold", hold), ("auditlog_retentionpolicy", policy)):
        assert desk.post(reverse(f"admin:{page}_add"), form).status_code == 403
    assert not LegalHold.objects.exists()
    assert not RetentionPolicy.objects.exists()
    assert auditor.post(reverse("admin:auditlog_legalhold_add"), hold).status_code == 302
    kept = LegalHold.objects.get()
    lifted = {"lifted": "on", **WHY}
    assert desk.post(reverse("admin:auditlog_legalhold_change", args=[kept.pk]), lifted).status_code == 403
    member = Membership.objects.exclude(user=iris).first()
    role = reverse("admin:accounts_membership_change", args=[member.pk])
    assert auditor.post(role, {"role": "auditor", **WHY}).status_code == 403
    assert not LegalHold.objects.filter(lifted=True).exists()


def test_a_second_account_of_the_same_person_changes_nothing(desk, apart, iris, tomasz):
    iris.person = tomasz.person
    iris.save()
    member = Membership.objects.select_related("organization", "user").get(user=iris)

    assert not member.may(Permission.KEEP_AUDIT)
    assert signed_in(iris).get(reverse("admin:index"), follow=True).status_code == 403


def test_it_is_not_set_where_nobody_would_be_left(desk, acme):
    switch(desk, acme, audit_kept_apart="on")

    assert not Organization.objects.get(pk=acme.pk).audit_kept_apart


def test_an_admin_alone_does_not_take_it_back(desk, acme, iris):
    switch(desk, acme, audit_kept_apart="on")
    assert Organization.objects.get(pk=acme.pk).audit_kept_apart
    acme.refresh_from_db()

    switch(desk, acme)

    assert Organization.objects.get(pk=acme.pk).audit_kept_apart
    assert Proposal.objects.get().after == {"audit_kept_apart": False}


def test_each_sees_what_is_proposed_for_their_own_pages(desk, apart, iris, tomasz):
    organization = reverse("admin:accounts_organization_change", args=[apart.pk])
    desk.post(organization, organization_data(apart))

    lists = [browser.get(reverse("admin:accounts_proposal_changelist")) for browser in (desk, signed_in(iris))]

    assert [answer.context["cl"].result_count for answer in lists] == [1, 0]


def shown_to(user, proposal):
    """What a person is asked to do about proposals on the board; the list, and the page of this one, agree with it."""
    browser, look = signed_in(user), Look(user.memberships.get(), clock.now(), everything=True)
    [kind] = [each for each in waiting_kinds() if each.key == "proposals"]
    listed = browser.get(reverse("admin:accounts_proposal_changelist")).context["cl"].result_count
    page = browser.get(reverse("admin:accounts_proposal_change", args=[proposal.pk])).status_code == 200
    board = [kind.tell(row, look).help.label for row in rows_of(kind, look)]
    assert (bool(listed), page) == (bool(board), bool(board))
    return board


def test_what_is_kept_is_agreed_on_by_those_who_keep_it(desk, apart, iris, tomasz):
    """Two Auditors; an Admin neither sees it nor puts it in force, and no Auditor what is proposed about rights."""
    noor = make_member(apart, "noor", Role.AUDITOR, is_staff=True)
    make_member(apart, "lena", Role.ADMIN, is_staff=True)
    Organization.objects.filter(pk=apart.pk).update(rights_need_second_person=True)
    hold = LegalHold.objects.create(organization=apart, party="C-1")
    signed_in(iris).post(reverse("admin:auditlog_legalhold_change", args=[hold.pk]), {"lifted": "on", **WHY})
    lifting = Proposal.objects.get()
    publish = reverse("admin:accounts_proposal_publish", args=[lifting.pk])

    seen = [shown_to(user, lifting) for user in (iris, noor, tomasz)]

    assert seen == [["Look at it"], ["Put in force or discard"], []]
    assert desk.post(publish).status_code == 404
    signed_in(iris).post(publish)
    assert not LegalHold.objects.get().lifted
    assert "It is in force." in signed_in(noor).post(publish, follow=True).content.decode()
    assert LegalHold.objects.get().lifted


def test_two_are_asked_about_the_log_only_where_two_keep_it(desk, apart, iris):
    """Later one of them may go: nothing is removed meanwhile, and the page says who is missing."""
    make_member(apart, "lena", Role.ADMIN, is_staff=True)
    both = {"audit_kept_apart": "on", "rights_need_second_person": "on"}
    address = reverse("admin:accounts_organization_change", args=[apart.pk])
    refused = desk.post(address, organization_data(apart, **both), follow=True).content.decode()
    asked = Organization.objects.get(pk=apart.pk).rights_need_second_person
    Organization.objects.filter(pk=apart.pk).update(rights_need_second_person=True)
    hold = LegalHold.objects.create(organization=apart, party="C-1")

    change = reverse("admin:auditlog_legalhold_change", args=[hold.pk])
    told = signed_in(iris).post(change, {"lifted": "on", **WHY}, follow=True).content.decode()

    assert "need two who may set them, and there would be 1" in refused
    assert not asked
    assert "Nobody is there who could: an admin gives somebody the role Auditor, who is no Admin" in told
    assert not LegalHold.objects.get().lifted
