"""People and organizations in the admin: who sees, who changes, and what is kept about it."""

import pytest
from django.urls import reverse

from accounts.models import Membership, Organization, Person, Team, User
from accounts.roles import Role
from auditlog.models import Entry
from tests.admin.conftest import signed_in
from tests.definitions import make_member

WHY = {"change_reason": "Asked by the head of operations"}
HOW_LONG = {"idle_minutes": 30, "session_hours": 12, "confirm_minutes": 15}


def change(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def add(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def organization_data(organization, **changes):
    names = ("name", "time_zone", "currency", "recovery_signatures", *HOW_LONG)
    kept = {name: getattr(organization, name) for name in names}
    return {**kept, "acting_enabled": "on", "rules_need_second_person": "on", **WHY, **changes}


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_only_the_role_admin_opens_it(acme, role):
    person = make_member(acme, "nadia", role, is_staff=True)

    answer = signed_in(person).get(reverse("admin:index"), follow=True)

    assert answer.status_code == 403


def test_the_role_without_staff_does_not_open_it(acme):
    person = make_member(acme, "nadia", Role.ADMIN)

    assert signed_in(person).get(reverse("admin:index"), follow=True).status_code == 403


def test_a_stranger_is_sent_to_the_desks_own_sign_in(client, db):
    answer = client.get(reverse("admin:index"), follow=True)

    assert answer.redirect_chain[-1][0] == f"{reverse('accounts:sign_in')}?next={reverse('admin:index')}"


def test_a_change_is_recorded_with_before_after_and_reason(desk, acme, tomasz):
    answer = desk.post(change(acme), organization_data(acme, name="Acme Ltd", acting_enabled=""))

    assert answer.status_code == 302
    entry = Entry.objects.get()
    assert (entry.verb, entry.user, entry.reason) == (
        "accounts.organization.changed",
        tomasz,
        "Asked by the head of operations",
    )
    assert entry.before == {"name": "Acme", "acting_enabled": True}
    assert entry.after == {"name": "Acme Ltd", "acting_enabled": False}


def test_no_change_without_a_reason(desk, acme):
    answer = desk.post(change(acme), organization_data(acme, name="Acme Ltd", change_reason=" "))

    assert answer.status_code == 200
    assert "change_reason" in answer.context["adminform"].form.errors
    assert Organization.objects.get(pk=acme.pk).name == "Acme"
    assert not Entry.objects.exists()


def test_saving_the_same_again_records_nothing(desk, acme):
    assert desk.post(change(acme), organization_data(acme)).status_code == 302

    assert not Entry.objects.exists()


def test_the_slug_of_an_organization_is_given_once(desk, acme):
    desk.post(change(acme), organization_data(acme, slug="stolen"))

    assert Organization.objects.get(pk=acme.pk).slug == "acme"


def test_a_time_zone_that_does_not_exist_is_refused(desk, acme):
    answer = desk.post(change(acme), organization_data(acme, time_zone="Mars/Olympus"))

    assert "time_zone" in answer.context["adminform"].form.errors


def test_other_organizations_are_not_there(desk, tomasz, other, zoe):
    team = Team.objects.create(organization=other, name="Theirs", slug="theirs")
    rows = [other, zoe, zoe.person, zoe.memberships.get(), team]

    for row in rows:
        page = desk.get(change(row))
        assert page.status_code == 302, row
        assert page.url == reverse("admin:index")
        everything = desk.get(reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist"))
        assert str(row) not in everything.content.decode()


def test_nothing_can_be_deleted(desk, acme, otto):
    team = Team.objects.create(organization=acme, name="Refunds", slug="refunds")

    for row in (acme, otto, otto.person, otto.memberships.get(), team):
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_delete", args=[row.pk])
        assert desk.post(address, {"post": "yes"}).status_code == 403
        listed = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
        desk.post(listed, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        assert type(row).objects.filter(pk=row.pk).exists()


def test_a_new_account_comes_with_person_and_membership(desk, acme, tomasz):
    secret = "quite a long secret phrase"
    data = {"username": "ada", "first_name": "Ada", "last_name": "Okafor", "email": "ada@acme.example", "person": ""}

    answer = desk.post(add(User), {**data, "role": "operator", "password1": secret, "password2": secret, **WHY})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    ada = User.objects.get(username="ada")
    assert (str(ada.person), ada.is_staff, ada.check_password(secret)) == ("Ada Okafor", False, True)
    assert ada.memberships.get().role == "operator"
    verbs = list(Entry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["accounts.person.added", "accounts.membership.added", "accounts.user.added"]
    kept = "".join(str([entry.before, entry.after]) for entry in Entry.objects.all())
    assert not [text for text in ("Okafor", "ada@", secret, "argon2") if text in kept]


def test_a_second_account_can_be_given_to_the_same_person(desk, otto):
    secret = "quite a long secret phrase"
    data = {"username": "otto2", "person": otto.person_id, "role": "admin", "password1": secret, "password2": secret}

    desk.post(add(User), {**data, **WHY})

    second = User.objects.get(username="otto2")
    assert second.same_person_as(otto)
    assert second.is_staff
    assert Person.objects.filter(name__icontains="otto").count() == 1


def test_personal_data_is_recorded_as_changed_and_not_copied(desk, otto):
    data = {"username": "otto", "first_name": "Otto", "last_name": "Brandt", "email": "", "person": otto.person_id}

    assert desk.post(change(otto), {**data, "is_active": "on", **WHY}).status_code == 302

    entry = Entry.objects.get(verb="accounts.user.changed")
    assert entry.after["last_name"] == "not kept here, changed"
    assert "Brandt" not in str([entry.before, entry.after])


def test_a_new_password_needs_a_reason_and_is_recorded_without_it(desk, otto):
    address = reverse("admin:auth_user_password_change", args=[otto.pk])
    secret = "quite a long secret phrase"
    data = {"usable_password": "true", "password1": secret, "password2": secret, "set-password": "x"}

    page = desk.get(address)
    desk.post(address, data)
    refused = User.objects.get(pk=otto.pk).check_password(secret)
    desk.post(address, {**data, **WHY})

    assert "Reason for this change" in page.content.decode()
    assert not refused
    assert User.objects.get(pk=otto.pk).check_password(secret)
    entry = Entry.objects.get()
    assert (entry.verb, entry.subject_id, entry.after) == ("accounts.user.password_changed", otto.pk, {})


def test_ones_own_new_password_is_recorded(tomasz):
    secret = "quite a long secret phrase"
    tomasz.set_password("correct horse battery")
    tomasz.save()
    desk = signed_in(tomasz)
    data = {"old_password": "correct horse battery", "new_password1": secret, "new_password2": secret}

    answer = desk.post(reverse("admin:password_change"), data)

    assert answer.status_code == 302
    assert User.objects.get(pk=tomasz.pk).check_password(secret)
    assert Entry.objects.get().verb == "accounts.user.password_changed"


def test_own_rights_are_changed_by_somebody_else(desk, tomasz, otto):
    mine, theirs = tomasz.memberships.get(), otto.memberships.get()

    refused = desk.post(change(mine), {"role": "manager", **WHY})
    done = desk.post(change(theirs), {"role": "manager", "ended_at_0": "", "ended_at_1": "", **WHY})

    assert (refused.status_code, done.status_code) == (403, 302)
    assert Membership.objects.get(pk=mine.pk).role == "admin"
    assert Membership.objects.get(pk=theirs.pk).role == "manager"
    assert Entry.objects.get().after == {"role": "manager"}


@pytest.mark.parametrize("page", ["change", "password"])
def test_an_account_with_rights_elsewhere_is_not_taken_over_from_here(desk, acme, zoe, page):
    Membership.objects.create(organization=acme, user=zoe, role=Role.VIEWER)
    address = change(zoe) if page == "change" else reverse("admin:auth_user_password_change", args=[zoe.pk])

    assert desk.post(address, {"password1": "x" * 20, "password2": "x" * 20, **WHY}).status_code == 403


def test_a_superuser_is_not_changed_by_an_admin(desk, acme):
    root = make_member(acme, "root", Role.VIEWER, is_superuser=True)

    assert desk.get(change(root)).status_code == 200
    assert desk.post(change(root), {"username": "root", **WHY}).status_code == 403


def test_no_form_grants_superuser(desk, otto):
    data = {"username": "otto", "person": otto.person_id, "is_active": "on", "is_superuser": "on", **WHY}

    assert desk.post(change(otto), data).status_code == 302

    assert not User.objects.get(pk=otto.pk).is_superuser


def test_a_superuser_founds_the_first_organization_and_sees_nothing_else(db):
    root = User.objects.create_superuser("root", password="correct horse battery")
    browser = signed_in(root)

    index = browser.get(reverse("admin:index")).content.decode()
    created = browser.post(
        add(Organization),
        {
            "name": "First",
            "slug": "first",
            "time_zone": "UTC",
            "currency": "EUR",
            "acting_enabled": "on",
            "recovery_signatures": "1",
            **HOW_LONG,
            **WHY,
        },
    )
    first = Organization.objects.get()
    data = {"organization": first.pk, "user": root.pk, "role": "admin", "ended_at_0": "", "ended_at_1": ""}
    joined = browser.post(add(Membership), {**data, **WHY})

    assert "Organizations" in index
    assert "Teams" not in index
    assert (created.status_code, joined.status_code) == (302, 302)
    assert "Teams" in browser.get(reverse("admin:index")).content.decode()
    assert set(Entry.objects.values_list("organization", "verb")) == {
        (first.pk, "accounts.organization.added"),
        (first.pk, "accounts.membership.added"),
    }


def test_a_team_takes_members_of_its_organization_only(desk, acme, otto, zoe):
    data = {"organization": acme.pk, "name": "Refunds", "slug": "refunds", "distribution": "push", **WHY}

    refused = desk.post(add(Team), {**data, "members": [otto.pk, zoe.pk]})
    done = desk.post(add(Team), {**data, "members": [otto.pk]})

    assert "members" in refused.context["adminform"].form.errors
    assert done.status_code == 302
    assert Entry.objects.get().after["members"] == [f"user {otto.pk}"]


def test_a_row_is_made_in_the_own_organization_whatever_the_form_says(desk, acme, other):
    desk.post(
        add(Team), {"organization": other.pk, "name": "Refunds", "slug": "refunds", "distribution": "push", **WHY}
    )

    assert Team.objects.get().organization == acme


def test_a_second_team_of_the_same_slug_is_refused_in_words(desk, acme):
    Team.objects.create(organization=acme, name="Refunds", slug="refunds")

    answer = desk.post(
        add(Team), {"organization": acme.pk, "name": "Again", "slug": "refunds", "distribution": "push", **WHY}
    )

    assert answer.status_code == 200
    assert answer.context["adminform"].form.non_field_errors()


def test_nobody_is_put_above_themselves(desk, otto, acme):
    lena = make_member(acme, "lena", Role.MANAGER).person
    otto.person.manager = lena
    otto.person.save()

    refused = desk.post(change(lena), {"name": "Lena", "manager": otto.person.pk, **WHY})
    done = desk.post(change(lena), {"name": "Lena Berg", "manager": "", **WHY})

    assert "manager" in refused.context["adminform"].form.errors
    assert done.status_code == 302
    assert [above.name for above in Person.objects.get(pk=otto.person.pk).above()] == ["Lena Berg"]
