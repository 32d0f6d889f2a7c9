"""What every address keeps: tokens, safe methods, headers, and one view for page and fragment."""

import os
import re
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import pytest
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import Organization, User
from opsdesk import wsgi
from opsdesk.screens import piles
from tests.visits import Url, client_of, counted_once, every_url, furnish, latest, quietly, undone, unrendered
from workflows.models import Case

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)

URLS = every_url()
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
HTMX = {"HX-Request": "true"}
PASSWORD = "correct horse battery"
Desk = tuple[Organization, dict[str, User]]


@pytest.fixture
def desk() -> Desk:
    return furnish("ours")


# Tokens.


def token_of(client: Client) -> str:
    """The token in the pages of a session."""
    client.get(reverse("accounts:sign_in") if "sessionid" not in client.cookies else reverse("home"))
    request = RequestFactory().get("/")
    request.META["CSRF_COOKIE"] = client.cookies["csrftoken"].value
    return get_token(request)


def signed_in(client: Client, user: User, token: str = "") -> None:
    """Sign in by the page, as everybody does."""
    user.set_password(PASSWORD)
    user.save()
    form = {"username": user.username, "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post(reverse("accounts:sign_in"), form).status_code == 302


def test_nothing_unsafe_works_without_the_token_of_the_session(desk):
    organization, members = desk
    client, other = (client_of(who, members, enforce_csrf_checks=True) for who in ("admin", "operator"))
    token_of(client)
    tokens = {"none": {}, "another's": {"X-CSRFToken": token_of(other)}, "invented": {"X-CSRFToken": "a" * 64}}

    let_in = [
        f"{method} {url.name}, {kind}"
        for url in URLS
        for method in UNSAFE
        for kind, headers in tokens.items()
        # Whose token it is, is looked at before the method.
        if kind == "none" or method == "POST"
        # Programs show a token of their own; a session opens nothing there.
        if not url.name.startswith("api:")
        if client.generic(method, url.address(organization), headers=headers).status_code != 403
    ]

    open_to_all = [("POST", kind) for kind in tokens] + [(method, "none") for method in UNSAFE[1:]]
    assert let_in == [f"{method} integrations:receive, {kind}" for method, kind in open_to_all]


def test_a_token_counts_after_its_sign_in_and_from_our_own_pages_alone(desk):
    organization, members = desk
    client = Client(enforce_csrf_checks=True)
    early = token_of(client)
    signed_in(client, members["operator"], early)
    token, place = token_of(client), reverse("approvals:escalate", args=[latest(Case, organization).pk])

    def escalated(token: str, **headers: str) -> int:
        return client.post(place, {"csrfmiddlewaretoken": token}, headers=headers).status_code

    assert escalated(early) == 403
    assert escalated(token, origin="https://evil.example") == 403
    assert escalated(token, origin="null") == 403
    assert escalated(token, origin="http://testserver") == 302


def test_only_the_intake_and_programs_are_asked_for_no_token_of_a_session():
    exempt = {url.name for url in URLS if getattr(url.pattern.callback, "csrf_exempt", False)}

    # A session opens nothing for programs: the table of access says 401 for every role.
    assert exempt == {"integrations:receive", *(url.name for url in URLS if url.name.startswith("api:"))}


# Safe methods.


def digest() -> dict[str, str]:
    """A fingerprint of every table but the sessions."""
    tables = [name for name in connection.introspection.table_names() if name != "accounts_session"]
    select = "SELECT '{0}', md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), '')) FROM \"{0}\" r"
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(select.format(name) for name in tables))
        return dict(cursor.fetchall())


def test_the_fingerprint_notices_one_changed_letter(desk):
    before = digest()

    Case.objects.filter(pk=latest(Case, desk[0]).pk).update(party="x")

    # The row, and what the database itself took down of its change.
    assert {table for table, mark in digest().items() if mark != before[table]} == {"workflows_case", "auditlog_change"}


def look_at(client: Client, urls: Sequence[Url], organization: Organization) -> None:
    """Open these addresses in every safe way."""
    for url in urls:
        for method, headers in (("GET", {}), ("GET", HTMX), ("HEAD", {}), ("OPTIONS", {})):
            with nullcontext() if method == "GET" else unrendered():
                client.generic(method, url.address(organization), headers=headers)


@pytest.mark.parametrize("visitor", ["anonymous", "operator", "manager", "admin"])
def test_looking_changes_nothing(desk, visitor):
    organization, members = desk
    client = client_of(visitor, members)
    before = digest()

    look_at(client, URLS, organization)

    if digest() == before:
        return
    for url in URLS:  # which one was it?
        before = digest()
        look_at(client, [url], organization)
        assert digest() == before, url.name
    pytest.fail("Looking at all pages changed something that looking at each again does not.")


# Headers.


def missing(answer: HttpResponse) -> list[str]:
    """Which of the headers that every answer carries are not there, or not strict."""
    parts = answer.headers.get("Content-Security-Policy", "").split(";")
    policy = dict(part.strip().partition(" ")[::2] for part in parts)
    sources = re.sub(r"'nonce-[^']+'", "", " ".join(policy.values()))
    holds = {
        "a policy": {"default-src", "frame-ancestors", "base-uri", "form-action", "object-src"} <= policy.keys(),
        "a strict policy": not re.search(r"unsafe|\*|http|blob", sources),
        "no frames": policy.get("frame-ancestors") == "'none'" and answer.headers.get("X-Frame-Options") == "DENY",
        "no sniffing": answer.headers.get("X-Content-Type-Options") == "nosniff",
        "no referrer": answer.headers.get("Referrer-Policy") == "same-origin",
        "no store": "no-store" in answer.headers.get("Cache-Control", ""),
    }
    return [name for name, good in holds.items() if not good]


@pytest.mark.parametrize("visitor", ["anonymous", "operator", "admin"])
def test_every_answer_carries_the_headers(desk, visitor):
    organization, members = desk
    client = client_of(visitor, members)

    lacking = {}
    for url in URLS:
        for method in ("GET", "POST", "DELETE"):
            with undone(client), unrendered() if method == "DELETE" else nullcontext():
                answer = client.generic(method, url.address(organization))
            if missing(answer):
                lacking[f"{method} {url.name}: {answer.status_code}"] = missing(answer)

    assert not lacking


def test_answers_to_trouble_carry_the_headers_too(desk, monkeypatch):
    client = client_of("operator", desk[1], enforce_csrf_checks=True)
    answers = [
        client.get("/nowhere/"),
        client.get("/queue"),
        client.post(reverse("accounts:sign_out")),
        client.get(reverse("home"), headers={"Host": "evil.example"}),
        client_of("anonymous", {}).get(reverse("home"), headers=HTMX),
    ]
    for trouble in (RuntimeError("broken"), OperationalError("gone")):
        monkeypatch.setattr(piles, "reviews", _raiser(trouble))
        answers.append(client.get(reverse("home")))

    assert [answer.status_code for answer in answers] == [404, 301, 403, 400, 401, 500, 503]
    assert {answer.status_code: missing(answer) for answer in answers if missing(answer)} == {}


def _raiser(trouble: Exception):
    def broken(*args, **kwargs):
        raise trouble

    return broken


@pytest.mark.parametrize(("path", "status"), [("/hooks/", 404), ("/hooks/ours/gateway/", 415), ("/hooks/a/b/c/", 404)])
def test_the_short_way_of_the_intake_carries_them_as_well(desk, path, status):
    started = []
    environ = RequestFactory().post(path).environ

    b"".join(wsgi.application(environ, lambda line, headers, trouble=None: started.extend([line, headers])))

    answer = HttpResponse(status=int(started[0].split()[0]), headers=dict(started[1]))
    assert answer.status_code == status
    assert missing(answer) == []


def test_cookies_stay_with_the_browser(desk):
    client = Client()
    client.get(reverse("accounts:sign_in"))
    signed_in(client, desk[1]["operator"])

    cookies = client.cookies
    assert {name for name, cookie in cookies.items() if cookie["httponly"]} == {"sessionid", "csrftoken", "device"}
    assert {cookie["samesite"] for cookie in cookies.values()} == {"Lax"}


def test_in_production_cookies_are_bound_to_the_host_and_to_https():
    values = [f"OPSDESK_{name}" for name in ("ALLOWED_HOSTS", "SECRET_KEY", "FIELD_KEYS")]
    values += ["DATABASE_URL", "REDIS_URL", "BROKER_URL"]
    words = {"CSRF_COOKIE_NAME": "__Host-csrf", "SESSION_COOKIE_NAME": "__Host-session"} | dict.fromkeys(
        ["CSRF_COOKIE_SECURE", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_HTTPONLY", "SESSION_COOKIE_HTTPONLY"], True
    )
    program = f"from opsdesk import settings; print({{name: getattr(settings, name) for name in {list(words)}}})"
    environment = {**os.environ, **dict.fromkeys(values, "postgresql://db.example/x"), "OPSDESK_PRODUCTION": "1"}

    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert literal_eval(told.stdout) == words


# Page and fragment.


def in_parts(client: Client, organization: Organization) -> Iterator[tuple[Url, HttpResponse, HttpResponse]]:
    """The addresses whose answer depends on htmx: as a page, and as a fragment."""
    for url in URLS:
        page = client.get(url.address(organization))
        if page.status_code == 200 and not url.route.startswith("admin/"):
            part = client.get(url.address(organization), headers=HTMX)
            if b"<html" not in part.content and page.headers["Content-Type"].startswith("text/html"):
                yield url, page, part


def test_a_fragment_is_no_page_and_a_cache_knows_the_difference(desk):
    client = client_of("manager", desk[1])
    found = list(in_parts(client, desk[0]))

    varied = {}
    for url, page, part in found:
        answers = {"page": page, "fragment": part}
        for kind, headers in {"going back": "HX-History-Restore-Request", "boosted": "HX-Boosted"}.items():
            answers[kind] = client.get(url.address(desk[0]), headers={**HTMX, headers: "true"})
            assert (b"<html" in answers[kind].content) == (b"<html" in page.content), f"{url.name}, {kind}"
        for kind, answer in answers.items():
            vary = {name.strip() for name in answer.headers.get("Vary", "").split(",")}
            if not {"HX-Request", "Cookie"} <= vary:
                varied[f"{url.name}, {kind}"] = vary

    assert not varied
    assert {url.name for url, _, _ in found} >= {"home", "approvals:queue", "workflows:runs", "auditlog:entries"}


def test_after_a_sign_out_htmx_hears_401_and_gets_no_form(desk):
    client = client_of("anonymous", {})

    for url in URLS:
        for method in ("GET", "POST"):
            answer = client.generic(method, url.address(desk[0]), headers=HTMX)
            if answer.status_code not in (405, 415) and url.name not in (
                "healthz",
                "readyz",
                "metrics",
                "accounts:sign_in",
                "accounts:second_step",
                "accounts:passkey_options",
                "integrations:provider",
                "integrations:provider_back",
                "approvals:answer_link",
            ):
                assert answer.status_code == 401, f"{method} {url.name}"
                assert b"<form" not in answer.content
