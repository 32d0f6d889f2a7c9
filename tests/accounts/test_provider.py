"""Signing in by an identity provider that others wrote: who comes in, with which role, and who does not."""

import base64
import hashlib
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.core.checks import run_checks
from django.test import Client
from django.urls import reverse

from accounts import arriving, tokens
from accounts.models import GroupRole, Identity, Membership, Proposal, Session, User
from accounts.roles import Role
from auditlog.models import Entry
from integrations.oidc import flow, wire
from opsdesk.lib import clock
from opsdesk.watch.doctor import doors
from tests.accounts.provider import START, come_back, make_group_role, sign_in
from tests.factories import make_desk
from tests.plugins.pages import text_of

pytestmark = pytest.mark.django_db
QUEUE, DOOR, CONNECT = reverse("approvals:queue"), reverse("accounts:sign_in"), reverse("integrations:connect_provider")
PASSWORD = "correct horse battery"


def is_in(client):
    return client.get(QUEUE).status_code == 200


def vera(provider, *groups, **claims):
    """A colleague whom the provider knows and the desk does not."""
    said = {"name": "Vera Lang", "preferred_username": "vera", "email": "vera@corp.example", "groups": list(groups)}
    provider.knows("sub-vera", **{**said, **claims})
    return "sub-vera"


def refused(answer, status=403):
    assert answer.status_code == status, text_of(answer)
    return re.sub(r"\s+", " ", text_of(answer))


# Who comes in.


def test_the_first_sign_in_makes_an_account_with_the_role_of_its_groups(client, provider, organization, mapped):
    button = text_of(client.get(DOOR))

    answer = sign_in(client, provider, vera(provider, "desk-operators", "others"), to=QUEUE)

    assert "Sign in by the staff register" in button
    assert (answer.status_code, answer.url) == (302, QUEUE)
    assert is_in(client)
    user = User.objects.get(username="vera")
    assert (str(user), user.person.name, user.has_usable_password(), user.is_staff) == (
        *("Vera Lang", "Vera Lang"),
        *(False, False),
    )
    assert [(row.organization, row.role) for row in user.memberships.all()] == [(organization, Role.OPERATOR)]
    verbs = list(Entry.objects.filter(user=user).order_by("pk").values_list("verb", flat=True))
    assert verbs == ["accounts.membership.added", "accounts.user.signed_in"]
    assert Entry.objects.get(verb="accounts.user.signed_in").reason == "Signed in by the staff register."


def test_of_several_groups_the_first_in_the_list_counts(client, provider, mapped):
    sign_in(client, provider, vera(provider, "desk-operators", "desk-managers"))

    assert Membership.objects.get(user__username="vera").role == Role.MANAGER


def test_without_a_group_that_has_a_role_nobody_comes_in(client, provider, mapped):
    before = User.objects.count()
    GroupRole.objects.filter(group="desk-managers").update(enabled=False)

    for groups in ([], ["desk-managers"], ["DESK-OPERATORS"]):
        said = refused(sign_in(client, provider, vera(provider, *groups)))
        assert arriving.NO_ROLE in said
    assert arriving.NO_ROLE in refused(sign_in(client, provider, vera(provider, groups=None)))

    assert not is_in(client)
    assert User.objects.count() == before
    assert not Identity.objects.exists()


def test_whoever_says_no_at_the_provider_does_not_come_in(client, provider, mapped):
    assert "did not let you in" in refused(sign_in(client, provider, None))
    assert not is_in(client)


def test_an_account_that_is_closed_stays_closed(client, provider, mapped):
    sub = vera(provider, "desk-operators")
    sign_in(client, provider, sub)
    User.objects.filter(username="vera").update(is_active=False)

    assert arriving.CLOSED in refused(sign_in(Client(), provider, sub))
    assert not is_in(client)


@pytest.mark.parametrize("same", [{"preferred_username": "ADA"}, {"email": "Ada@Desk.example"}])
def test_nobody_gets_a_second_account_and_with_it_a_second_vote(client, provider, cast, mapped, same):
    before = User.objects.count()

    assert arriving.KNOWN in refused(sign_in(client, provider, vera(provider, "desk-operators", **same)))

    assert User.objects.count() == before


# What they may, from one sign-in to the next.


def test_another_group_is_another_role_and_ends_what_was_open(client, provider, mapped):
    sign_in(client, provider, vera(provider, "desk-operators"))
    assert is_in(client)

    other = Client()
    sign_in(other, provider, vera(provider, "desk-managers"))

    assert Membership.objects.get(user__username="vera").role == Role.MANAGER
    assert (is_in(client), is_in(other)) == (False, True)
    entry = Entry.objects.get(verb="accounts.membership.changed")
    assert (entry.before, entry.after) == ({"role": "operator"}, {"role": "manager"})


def test_out_of_the_group_is_out_of_the_desk_until_back_in_it(client, provider, mapped):
    sign_in(client, provider, vera(provider, "desk-operators"))
    user = User.objects.get(username="vera")
    row = Membership.objects.select_related("user", "organization").get(user=user)
    _, token = tokens.make(row, by=user, name="x", scopes=["cases:read"], days=9)

    said = refused(sign_in(Client(), provider, vera(provider, "others")))

    assert arriving.NO_ROLE in said
    assert not is_in(client)
    assert not Session.objects.filter(user=user).exists()
    assert tokens.known(token) is None
    assert Membership.objects.get(user=user).ended_by_groups
    sign_in(client, provider, vera(provider, "desk-operators"))
    assert is_in(client)
    assert Membership.objects.filter(user=user).count() == 2


def test_what_an_admin_took_away_no_group_gives_back(client, provider, mapped):
    sub = vera(provider, "desk-operators")
    sign_in(client, provider, sub)
    Membership.objects.filter(user__username="vera").update(ended_at=clock.now())

    assert arriving.TAKEN_AWAY in refused(sign_in(client, provider, sub))


def test_the_last_who_may_configure_keeps_the_role_but_does_not_come_in(client, provider, organization, cast, mapped):
    Identity.objects.create(user=cast.tomasz, issuer=provider.url, subject="sub-vera")
    client.force_login(cast.tomasz)

    for groups in (["others"], ["desk-operators"]):
        assert arriving.LAST in refused(sign_in(Client(), provider, vera(provider, *groups)))
    assert not is_in(client)
    row = Membership.objects.get(user=cast.tomasz)
    assert (row.role, row.ended_at) == (Role.ADMIN, None)


def test_the_role_admin_opens_the_admin_and_closes_it_again(client, provider, organization, cast, mapped):
    make_group_role(organization, "desk-admins", "admin", position=0)
    sign_in(client, provider, vera(provider, "desk-admins"))
    assert client.get(reverse("admin:index")).status_code == 200

    sign_in(other := Client(), provider, vera(provider, "desk-operators"))

    assert other.get(reverse("admin:index"), follow=True).status_code == 403
    assert not User.objects.get(username="vera").is_staff


def test_groups_touch_only_who_comes_this_way_and_only_where_they_count(client, provider, cast, mapped):
    theirs, _ = make_desk("theirs", suffix="-theirs")
    sign_in(client, provider, vera(provider, "desk-operators"))

    assert not Membership.objects.filter(organization=theirs, user__username="vera").exists()
    assert not Membership.objects.filter(ended_by_groups=True).exists()
    assert Membership.objects.get(user=cast.ada).role == Role.OPERATOR


# What must fit when they come back.


def onward_of(client):
    onward = client.get(START)
    return onward.url, {name: values[0] for name, values in parse_qs(urlsplit(onward.url).query).items()}


def test_state_nonce_and_proof_are_new_each_time_and_the_challenge_hides_the_verifier(client, provider):
    _, first = onward_of(client)
    _, second = onward_of(client)

    assert all(first[name] != second[name] for name in ("state", "nonce", "code_challenge"))
    verifier = client.session[flow.ERRAND]["verifier"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert (second["code_challenge"], second["code_challenge_method"]) == (digest, "S256")
    assert verifier not in str(second)
    assert second["redirect_uri"] == flow.back()


def test_only_the_browser_that_began_comes_back_once_and_in_time(client, provider, mapped):
    sub = vera(provider, "desk-operators")

    def answered(began, comes, change=lambda address: address, later=timedelta(0)):
        back = change(provider.ask(began.get(START).url, sub))
        with time_machine.travel(clock.now() + later, tick=False):
            return come_back(comes, back)

    wrong_state = answered(client, client, lambda back: re.sub(r"state=\w+", "state=another", back))
    another = answered(Client(), client)
    late = answered(client, client, later=timedelta(minutes=11))
    elsewhere = answered(client, client, lambda back: f"{back}&iss=https://evil.example")
    bare = client.get(reverse("integrations:provider_back"))
    for answer in (wrong_state, another, late, elsewhere, bare):
        assert flow.NotThem.message in refused(answer)
    assert not is_in(client)

    back = provider.ask(client.get(START).url, sub)
    assert come_back(client, back).status_code == 302
    client.logout()
    assert flow.NotThem.message in refused(come_back(client, back))


def test_a_word_for_another_errand_is_not_taken(client, provider, mapped):
    onward = client.get(START).url
    session = client.session
    session[flow.ERRAND] = {**session[flow.ERRAND], "nonce": "that-of-another"}
    session.save()

    assert flow.NotThem.message in refused(come_back(client, provider.ask(onward, vera(provider, "desk-operators"))))
    assert not User.objects.filter(username="vera").exists()


def test_nobody_is_led_away_from_the_desk(client, provider, mapped):
    answer = sign_in(client, provider, vera(provider, "desk-operators"), to="https://evil.example/")

    assert answer.url == reverse("home")


# Beside the other ways in.


def test_who_comes_by_the_provider_comes_in_by_nothing_else(client, provider, cast, mapped):
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    client.post(DOOR, {"username": "ada", "password": PASSWORD})
    explained = client.post(CONNECT)
    onward = re.search(r'href="(http://127[^"]+)"', explained.content.decode())[1].replace("&amp;", "&")
    assert "from then on" in text_of(explained)

    connected = come_back(client, provider.ask(onward, vera(provider, "desk-operators")))

    assert (connected.status_code, connected.url) == (302, reverse("accounts:sessions"))
    assert Identity.objects.get().user == cast.ada
    assert Entry.objects.filter(verb="accounts.user.connected", user=cast.ada).exists()
    other = Client()
    assert "signs in by the staff register" in refused(other.post(DOOR, {"username": "ada", "password": PASSWORD}))
    assert not is_in(other)
    sign_in(other, provider, "sub-vera")
    assert is_in(other)
    assert client.post(CONNECT).status_code == 404
    assert arriving.connect(cast.ben, issuer=provider.url, subject="sub-vera").startswith("Another account")


def test_a_second_factor_is_asked_for_after_the_provider_too(client, provider, mapped):
    sub = vera(provider, "desk-operators")
    sign_in(client, provider, sub)
    user = User.objects.get(username="vera")
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})

    answer = sign_in(other := Client(), provider, sub)

    assert answer.url == reverse("accounts:second_step")
    assert not is_in(other)


def test_sessions_end_after_a_while_and_who_one_is_is_shown_there_again(client, provider, mapped):
    sub = vera(provider, "desk-operators")
    sign_in(client, provider, sub)
    session = client.session
    session.pop("confirmed_at", None)
    session.save()
    asked = text_of(client.post(reverse("accounts:make_token"), _token_form(client)))
    assert ("Show it by the staff register" in asked, "Password" in asked) == (True, False)

    onward, said = onward_of(client)
    come_back(client, provider.ask(onward, sub))

    assert (said["prompt"], said["max_age"]) == ("login", "0")
    assert "confirmed_at" in client.session
    assert "desk_" in client.post(reverse("accounts:make_token"), _token_form(client)).content.decode()
    with time_machine.travel(clock.now() + timedelta(minutes=31), tick=False):
        assert not is_in(client)


def _token_form(client):
    account = Membership.objects.get(user__username="vera").pk
    return {"name": "Nightly", "account": account, "scopes": ["cases:read"], "days": "30"}


def test_another_person_at_the_provider_confirms_nothing(client, provider, mapped):
    sign_in(client, provider, vera(provider, "desk-operators"))
    session = client.session
    session.pop("confirmed_at", None)
    session.save()
    provider.knows("sub-other", groups=["desk-operators"], name="Other")

    onward, _ = onward_of(client)

    assert "nothing was confirmed" in refused(come_back(client, provider.ask(onward, "sub-other")))
    assert "confirmed_at" not in client.session


# Roles by group, and what is missing.


def test_roles_by_group_are_changed_by_two_where_two_are_asked(client, organization, cast, mapped):
    organization.rights_need_second_person = True
    organization.save()
    client.force_login(cast.tomasz)
    form = {"role": "admin", "position": 1, "enabled": "on", "change_reason": "New group"}

    client.post(reverse("admin:accounts_grouprole_change", args=[mapped.pk]), form)
    client.post(reverse("admin:accounts_grouprole_add"), {**form, "group": "desk-admins"})

    assert Proposal.objects.filter(page="accounts.grouprole").count() == 2
    assert not GroupRole.objects.filter(role="admin").exists()


def test_without_its_settings_there_is_no_such_door(client, settings):
    assert "single sign-on" not in text_of(client.get(DOOR))
    assert client.get(START).status_code == 404
    assert client.get(reverse("integrations:provider_back")).status_code == 404
    assert [opinion.verdict for opinion in doors.provider_lets_people_in()] == ["good"]

    settings.IDENTITY_PROVIDER = {**settings.IDENTITY_PROVIDER, "issuer": "https://id.example"}

    assert client.get(START).status_code == 404
    (said,) = [
        each for each in run_checks(tags=["security"], include_deployment_checks=True) if each.id == "opsdesk.W002"
    ]
    assert "OPSDESK_OIDC_CLIENT_ID is not set" in said.msg


def test_the_doctor_says_what_a_provider_lacks(provider, organization, client, settings):
    (first,) = doors.provider_lets_people_in()
    make_group_role(organization, "desk-operators", "operator")
    (second,) = doors.provider_lets_people_in()
    settings.IDENTITY_PROVIDER = {**settings.IDENTITY_PROVIDER, "issuer": f"{provider.url}/nobody", "client_secret": ""}
    found = list(doors.provider_lets_people_in())

    assert (first.verdict, "no group" in first.words) == ("wrong", True)
    assert (second.verdict, "1 of its groups" in second.words) == ("good", True)
    assert [each.verdict for each in found] == ["note", "wrong"]
    assert wire.ProviderTrouble.message in refused(client.get(START), 503)
