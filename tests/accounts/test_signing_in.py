"""Signing in by password: a few tries for each account, the same answer for accounts that are there and are not."""

from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine
from axes.models import AccessFailureLog
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from accounts import guessing
from auditlog.models import Entry
from opsdesk.lib import clock
from opsdesk.watch import sign_ins
from opsdesk.watch.findings import Moment
from tests.plugins.pages import text_of

PASSWORD = "correct horse battery"
SIGN_IN = reverse("accounts:sign_in")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_hashes(settings):
    """Hundreds of tries, none of which is about the hash."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(cast):
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    return cast.ada


def attempt(client, name, password=PASSWORD, *, address="203.0.113.1"):
    return client.post(SIGN_IN, {"username": name, "password": password}, REMOTE_ADDR=address)


def guesses(name, count, *, client=None):
    """Wrong passwords from a hundred addresses; how many were looked at."""
    client = client or Client()
    answers = [attempt(client, name, f"guess {n}", address=f"198.51.100.{n % 100}") for n in range(count)]
    return sum(answer.status_code == 200 for answer in answers), answers


def test_the_right_password_opens_the_desk_and_is_recorded(client, ada):
    answer = attempt(client, "ada")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    assert [row.user for row in Entry.objects.filter(verb="accounts.user.signed_in")] == [ada]


@pytest.mark.parametrize("word", ["foo", "exports", "?a=1", "#x", "home", "https://elsewhere.example/", "//elsewhere"])
def test_who_wants_to_go_nowhere_comes_home(client, ada, word):
    answer = client.post(f"{SIGN_IN}?next={quote(word)}", {"username": "ada", "password": PASSWORD})

    assert (answer.status_code, answer["Location"]) == (302, reverse("home"))


def test_of_many_guesses_from_many_addresses_ten_are_looked_at(client, ada):
    looked_at, answers = guesses("ada", 60)

    # The tenth is counted, and answered as the ones after it.
    assert looked_at == 9
    assert {answer.status_code for answer in answers[9:]} == {429}
    assert answers[-1].headers["Retry-After"] == "900"
    assert attempt(Client(), "ada").status_code == 429


@pytest.mark.long
def test_of_a_thousand_guesses_ten_are_looked_at(ada):
    assert guesses("ada", 1_000)[0] == 9


def test_after_the_wait_there_are_tries_again_until_the_days_are_used_up(ada):
    now = clock.now()
    looked_at = 0
    for turn in range(12):
        with time_machine.travel(now + timedelta(minutes=16 * turn), tick=False):
            looked_at += guesses("ada", 11)[0]

    assert looked_at == 9 * 10
    assert AccessFailureLog.objects.count() == 100
    with time_machine.travel(now + timedelta(hours=10), tick=False):
        assert attempt(Client(), "ada").status_code == 429
    with time_machine.travel(now + timedelta(hours=28), tick=False):
        assert attempt(Client(), "ada").status_code == 302


def test_the_owner_gets_in_from_a_known_browser_while_others_guess(client, ada):
    attempt(client, "ada")
    client.post(reverse("accounts:sign_out"))
    guesses("ada", 20)
    assert attempt(Client(), "ada").status_code == 429

    assert attempt(client, "ada").status_code == 302


def test_a_stolen_browser_has_ten_tries_too_and_a_forged_one_has_none_of_its_own(client, ada):
    attempt(client, "ada")
    client.post(reverse("accounts:sign_out"))
    forged = Client()
    forged.cookies["device"] = client.cookies["device"].value[:-3] + "abc"

    assert guesses("ada", 20, client=client)[0] == 9
    assert guesses("ada", 20, client=forged)[0] == 9
    assert guesses("ada", 20)[0] == 0


def test_known_and_unknown_accounts_are_answered_alike(ada, cast):
    cast.ben.is_active = False
    cast.ben.set_password(PASSWORD)
    cast.ben.save()
    said = {}
    for name in ("ada", "ben", "nobody-of-that-name"):
        answers = guesses(name, 12)[1]
        said[name] = [(answer.status_code, text_of(answer).replace(name, "NAME")) for answer in answers]

    assert said["ada"] == said["ben"] == said["nobody-of-that-name"]
    assert attempt(Client(), "ben").status_code == 429


def test_the_same_work_is_done_for_known_and_unknown_accounts(ada, settings, monkeypatch):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    ada.set_password(PASSWORD)
    ada.save()
    work, encode, verify = [], Argon2PasswordHasher.encode, Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *args: work.append(1) or encode(*args))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *args: work.append(1) or verify(*args))
    done = {}
    for name in ("ada", "nobody-of-that-name"):
        work.clear()
        attempt(Client(), name, "a wrong one")
        done[name] = len(work)

    assert done == {"ada": 1, "nobody-of-that-name": 1}


@pytest.mark.django_db(transaction=True)
def test_tries_side_by_side_are_not_looked_at(client, cast, ada):
    other = connection.copy()
    key = f"sign-in {guessing.account_key('ada')}"
    try:
        with transaction.atomic(), other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 8123))", [key])
            assert attempt(client, "ADA").status_code == 429
    finally:
        other.close()
    assert attempt(client, "ada").status_code == 302


def test_names_are_not_kept_with_what_was_tried(ada):
    attempt(Client(), "my password by mistake", "x")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT row_to_json(a)::text || row_to_json(b)::text FROM axes_accessattempt a, axes_accessfailurelog b"
        )
        kept = cursor.fetchone()[0]
    assert "mistake" not in kept


def test_one_guess_on_each_of_many_accounts_raises_an_alarm(ada):
    moment = Moment(clock.now(), clock.now() - timedelta(hours=1))
    for number in range(guessing.SPRAY - 1):
        attempt(Client(), f"person-{number}", "Summer2026!", address=f"198.51.100.{number}")
    assert not list(sign_ins.sprayed(moment))

    attempt(Client(), "ada", "Summer2026!", address="198.51.100.250")

    (finding,) = sign_ins.sprayed(moment)
    assert str(guessing.SPRAY) in finding.words
    assert not finding.organization


def test_old_tries_are_forgotten(ada):
    guesses("ada", 2)
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        assert guessing.forget_old_tries() == 2
