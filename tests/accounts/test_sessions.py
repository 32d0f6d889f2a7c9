"""Sessions: they end after a while, at once with a change of standing, and by their owner; and begin with a new key."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import Membership, Session, User
from accounts.roles import Role
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.plugins.pages import text_of

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.django_db
PAGE, QUEUE = reverse("accounts:sessions"), reverse("approvals:queue")


def enter(user, **options):
    client = Client(**options)
    client.force_login(user)
    return client


def is_in(client):
    return client.get(QUEUE).status_code == 200


def with_password(user):
    user.set_password(PASSWORD)
    user.save()
    return user


def test_signing_in_changes_the_key_of_the_session_and_the_token(client, cast):
    ada = with_password(cast.ada)
    early = client.session
    early["from_before"] = 1
    early.save()
    client.cookies["sessionid"] = preset = early.session_key
    client.get(reverse("accounts:sign_in"))
    token = client.cookies["csrftoken"].value

    client.post(reverse("accounts:sign_in"), {"username": "ada", "password": PASSWORD})

    assert client.cookies["sessionid"].value != preset
    assert client.cookies["csrftoken"].value != token
    assert not Session.objects.filter(session_key=preset).exists()
    assert Session.objects.get(user=ada).agent == ""


def _sign_out(client, user):
    client.post(reverse("accounts:sign_out"))


def _password(client, user):
    User.objects.filter(pk=user.pk).update(password="!changed")


def _deactivate(client, user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    User.objects.filter(pk=user.pk).update(is_active=True)


def _role(client, user):
    Membership.objects.filter(user=user).update(role=Role.VIEWER)


def _ended(client, user):
    user.memberships.update(ended_at=clock.now())


def _end_all(client, user):
    enter(user).post(reverse("accounts:end_sessions"), {"which": "all"})


@pytest.mark.parametrize("event", [_sign_out, _password, _deactivate, _role, _ended, _end_all])
def test_an_old_cookie_is_refused(cast, event):
    client, other = enter(cast.ada), enter(cast.ben)
    cookie = client.cookies["sessionid"].value
    assert is_in(client)

    event(client, cast.ada)

    thief = Client()
    thief.cookies["sessionid"] = cookie
    assert not is_in(thief)
    assert is_in(other)


@pytest.mark.parametrize(
    ("idle", "hours", "click", "over"),
    [(30, 12, 29, 59), (5, 12, 4, 9), (240, 1, 59, 60)],
    ids=["30 minutes after the last click", "5 minutes after the last click", "an hour, whoever clicks"],
)
def test_a_session_ends_when_its_time_is_over(desk, idle, hours, click, over):
    organization, cast = desk
    organization.idle_minutes, organization.session_hours = idle, hours
    organization.save()
    client, now = enter(cast.ada), clock.now()

    with time_machine.travel(now + timedelta(minutes=click), tick=False):
        assert is_in(client)
    with time_machine.travel(now + timedelta(minutes=over, seconds=1), tick=False):
        assert not is_in(client)
    assert not Session.objects.filter(user=cast.ada).exists()


def test_clicks_keep_a_session_until_its_last_hour_and_pages_that_refresh_themselves_do_not(cast):
    client, unattended, now = enter(cast.ada), enter(cast.ben), clock.now()

    for minutes in range(20, 12 * 60, 20):
        with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
            assert is_in(client)
            answer = unattended.get(QUEUE, headers={"Desk-Unattended": "1"})
            assert answer.status_code == (200 if minutes < 30 else 302)
    with time_machine.travel(now + timedelta(hours=12, seconds=1), tick=False):
        assert not is_in(client)


def test_within_a_minute_a_session_is_not_written_again(cast):
    client = enter(cast.ada)
    seen = Session.objects.get().seen_at

    assert is_in(client)

    assert Session.objects.get().seen_at == seen


def test_one_sees_ones_own_sessions_alone(cast):
    client = enter(cast.ada, headers={"user-agent": "Firefox of Ada"})
    enter(cast.ben)
    handle = Session.objects.get(user=cast.ben).handle

    page = client.get(PAGE)

    assert text_of(page).count("this one") >= 1
    assert len(page.context["items"]) == 1
    assert handle not in page.content.decode()
    assert not any(key in page.content.decode() for key in Session.objects.values_list("session_key", flat=True))


def test_one_ends_ones_own_sessions_one_or_all_others(cast):
    here, there, third, bens = enter(cast.ada), enter(cast.ada), enter(cast.ada), enter(cast.ben)
    end = reverse("accounts:end_sessions")
    handles = {client: Session.objects.get(pk=client.session.session_key).handle for client in (there, bens)}

    here.post(end, {"which": handles[there]})
    here.post(end, {"which": handles[bens]})

    assert [is_in(client) for client in (here, there, third, bens)] == [True, False, True, True]
    here.post(end, {"which": "others"})
    assert [is_in(client) for client in (here, third, bens)] == [True, False, True]
    assert here.post(end).headers["Location"] == reverse("accounts:sign_in")
    assert [is_in(client) for client in (here, bens)] == [False, True]
    assert Entry.objects.filter(verb="accounts.user.sessions_ended", user=cast.ada).count() == 3


def test_a_new_password_of_ones_own_keeps_the_session_at_hand_and_its_age(cast):
    tomasz = with_password(cast.tomasz)
    here, there = enter(tomasz), enter(tomasz)
    started, old = Session.objects.get(pk=here.session.session_key).started_at, here.session.session_key

    with time_machine.travel(clock.now() + timedelta(minutes=10), tick=False):
        new = "another horse battery"
        data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        answer = here.post(reverse("admin:password_change"), data)

        assert answer.status_code == 302
        assert is_in(here)
        assert not is_in(there)
        assert here.session.session_key != old
        assert Session.objects.get(user=tomasz).started_at == started
