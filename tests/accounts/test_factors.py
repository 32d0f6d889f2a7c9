"""Second factors: a code counts once, no step is skipped, and nobody takes another's."""

import json
import re
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from cryptography.fernet import Fernet
from django.test import Client
from django.urls import reverse

from accounts import factors
from accounts.models import Session, User
from accounts.roles import Role
from auditlog.models import Entry
from opsdesk.lib import clock
from tests.plugins.pages import text_of
from tests.races import at_once

PASSWORD = "correct horse battery"
SIGN_IN, STEP, FACTORS = (reverse(f"accounts:{name}") for name in ("sign_in", "second_step", "factors"))
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def with_app(user):
    """Give somebody a password and an authenticator app; its secret."""
    user.set_password(PASSWORD)
    user.save()
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def code_of(secret, *, steps=0):
    return format_hotp_value(hotp_value(secret, int(clock.now().timestamp()) // 30 + steps))


def begin(user, client=None):
    client = client or Client()
    answer = client.post(SIGN_IN, {"username": user.username, "password": PASSWORD})
    assert answer.headers["Location"] == STEP
    return client


def step(client, code):
    return client.post(STEP, {"confirm_code": code})


def is_in(client):
    return client.get(reverse("approvals:queue")).status_code == 200


def test_the_password_alone_opens_nothing(cast):
    with_app(cast.ada)

    client = begin(cast.ada)

    assert not is_in(client)
    assert not Session.objects.filter(user=cast.ada).exists()
    assert client.get(reverse("approvals:queue")).headers["Location"].startswith(SIGN_IN)


def test_the_code_of_the_app_opens_the_desk(cast):
    secret = with_app(cast.ada)
    client = begin(cast.ada)
    early = client.session.session_key

    answer = step(client, code_of(secret))

    assert answer.headers["Location"] == "/"
    assert is_in(client)
    assert client.session.session_key != early
    assert Entry.objects.get(verb="accounts.user.signed_in").reason == "Signed in by password and code."


def test_a_code_counts_once(cast):
    secret = with_app(cast.ada)
    with time_machine.travel(clock.now(), tick=False):
        code = code_of(secret)
        assert step(begin(cast.ada), code).status_code == 302

        assert [step(begin(cast.ada), used).status_code for used in (code, code_of(secret, steps=-1))] == [422, 422]
        assert step(begin(cast.ada), code_of(secret, steps=1)).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_a_code_brought_twice_at_once_counts_once(cast):
    secret = with_app(cast.ada)
    code = code_of(secret)

    assert sorted(at_once(*[lambda: factors.use_code(cast.ada, code)] * 4)) == ["", "", "", "one-time code"]


@pytest.mark.parametrize("away", [-3, 3, 100])
def test_codes_of_other_times_are_refused(cast, away):
    secret = with_app(cast.ada)
    with time_machine.travel(clock.now(), tick=False):
        client = begin(cast.ada)

        assert step(client, code_of(secret, steps=away)).status_code == 422
        assert not is_in(client)


def test_the_step_cannot_be_skipped_taken_alone_or_taken_for_another(cast):
    adas, bens = with_app(cast.ada), with_app(cast.ben)

    nobody = Client()
    assert step(nobody, code_of(adas)).headers["Location"] == SIGN_IN
    assert nobody.get(STEP).headers["Location"] == SIGN_IN
    mixed = begin(cast.ada)
    assert step(mixed, code_of(bens)).status_code == 422
    for extra in ({"user": cast.ben.pk}, {"username": "ben"}, {"next": "/queue/"}, {"passkey": "{}"}):
        assert mixed.post(STEP, {"confirm_code": code_of(bens), **extra}).status_code == 422
    begin(cast.ben, mixed)
    assert step(mixed, code_of(adas)).status_code == 422
    assert not is_in(mixed)


@pytest.mark.parametrize("event", ["five minutes", "password", "deactivated"])
def test_a_step_that_waits_is_over_with_its_first_half(cast, event):
    secret, client, now = with_app(cast.ada), None, clock.now()
    client = begin(cast.ada)
    if event == "password":
        cast.ada.set_password("another horse battery")
        cast.ada.save()
    if event == "deactivated":
        User.objects.filter(pk=cast.ada.pk).update(is_active=False)

    with time_machine.travel(now + timedelta(minutes=5 if event == "five minutes" else 0, seconds=1), tick=False):
        assert step(client, code_of(secret)).headers["Location"] == SIGN_IN
    assert not is_in(client)


def test_guesses_of_a_code_are_counted(cast):
    with_app(cast.ada)

    answers = [step(begin(cast.ada), f"{number:06}").status_code for number in range(14)]

    assert set(answers[:9]) == {422}
    assert set(answers[9:]) == {429}


def test_secrets_are_not_kept_in_clear(cast):
    secret = with_app(cast.ada)
    codes = factors.new_recovery_codes(cast.ada)

    kept = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))

    assert secret not in kept
    assert not any(code in kept for code in codes)


def test_setting_up_an_app_needs_its_first_code_and_who_one_is(client, cast):
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    client.force_login(cast.ada)
    page = client.get(reverse("accounts:add_app"))
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", page.content.decode())[1].replace(" ", "")
    form = {"code": code_of(secret)}

    asked = client.post(reverse("accounts:add_app"), form)
    assert "Is it you?" in text_of(asked)
    wrong = client.post(reverse("accounts:add_app"), {**form, "confirm_password": "wrong"})
    assert "not right" in text_of(wrong)
    assert not Authenticator.objects.exists()
    done = client.post(reverse("accounts:add_app"), {**form, "confirm_password": PASSWORD})

    codes = re.findall(r"<code>(\d{8})</code>", done.content.decode())
    assert len(codes) == 10
    assert [row.type for row in factors.of(cast.ada)] == ["totp"]
    # Each recovery code opens the door once.
    assert step(begin(cast.ada), codes[3]).status_code == 302
    assert step(begin(cast.ada), codes[3]).status_code == 422
    assert "9 left" in text_of(client.get(FACTORS))
    assert Entry.objects.filter(verb="accounts.user.factor_added").exists()


def test_nobody_removes_what_is_anothers_or_the_last_one_that_is_asked_for(client, organization, cast):
    with_app(cast.ada)
    with_app(cast.ben)
    client.force_login(cast.ada)
    secret = with_app(cast.maya)
    bens, adas = factors.of(cast.ben)[0], factors.of(cast.ada)[0]
    assert secret
    session = client.session
    session["confirmed_at"], session["by_factor"] = clock.now().timestamp(), True
    session.save()
    remove = reverse("accounts:remove_factor")

    client.post(remove, {"factor": bens.pk})
    organization.factor_roles = [Role.OPERATOR]
    organization.save()
    client.post(remove, {"factor": adas.pk})
    assert Authenticator.objects.filter(pk__in=[adas.pk, bens.pk]).count() == 2

    organization.factor_roles = []
    organization.save()
    client.post(remove, {"factor": adas.pk})
    assert list(Authenticator.objects.filter(user=cast.ada)) == []


def test_a_role_that_asks_for_a_second_factor_opens_nothing_before_there_is_one(client, organization, cast):
    organization.factor_roles = [Role.OPERATOR]
    organization.save()
    client.force_login(cast.ada)
    queue = reverse("approvals:queue")

    assert client.get(queue).headers["Location"] == FACTORS
    assert client.get(queue, headers={"HX-Request": "true"}).headers["HX-Redirect"] == FACTORS
    assert "set one up" in text_of(client.get(FACTORS))
    secret = with_app(cast.ada)
    other = begin(cast.ada)
    step(other, code_of(secret))
    assert is_in(other)
    manager = Client()
    manager.force_login(cast.maya)
    assert is_in(manager)


def test_a_passkey_of_nobody_and_answers_that_are_none_are_refused(client, cast):
    for answer in ("{}", "[]", "x", '{"id": 1, "response": {"userHandle": "AAA"}}', '{"response": null}'):
        client.post(reverse("accounts:passkey_options"))
        page = client.post(SIGN_IN, {"passkey": answer})
        assert page.status_code == 200
        assert "not known here" in text_of(page)
        assert not client.session.get("mfa.webauthn.state")


def test_an_admin_forgets_lost_factors_with_a_reason(client, organization, cast):
    with_app(cast.ada)
    cast.ada.refresh_from_db()
    client.force_login(cast.tomasz)
    page = reverse("admin:accounts_user_change", args=[cast.ada.pk])
    kept = {name: getattr(cast.ada, name) for name in ("username", "first_name", "last_name", "email")}
    form = {**kept, "person": cast.ada.person_id, "is_active": "on", "forget_factors": "on", "change_reason": "Lost."}

    assert client.post(page, form).status_code == 302

    assert not factors.has_any(cast.ada)
    assert Entry.objects.get(verb="accounts.user.factors_forgotten").reason == "Lost."


def test_keys_are_rotated_for_factors_too(cast, settings):
    secret, (old,) = with_app(cast.ada), settings.FIELD_KEYS
    settings.FIELD_KEYS = [Fernet.generate_key().decode(), old]

    assert factors.renew_secrets() == (1, [])
    settings.FIELD_KEYS = settings.FIELD_KEYS[:1]

    assert factors.use_code(cast.ada, code_of(secret)) == "one-time code"
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    assert factors.renew_secrets() == (0, [f"TOTP Authenticator of account {cast.ada.pk}"])
