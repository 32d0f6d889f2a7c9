"""Who gives rights does not keep the log of it, where the organization says so: in people, not in accounts."""

import pytest
from django.urls import reverse

from accounts.models import Membership, Organization, Proposal
from accounts.roles import Permission, Role
from auditlog.models import LegalHold, RetentionPolicy
from auditlog.retention import kinds
from tests.admin.conftest import signed_in
from tests.admin.test_people import organization_data
from tests.definitions import make_member

WHY = {"change_reason": "Asked by the board"}
AUDIT_PAGES = ["auditlog_retentionpolicy", "auditlog_legalhold"]
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
