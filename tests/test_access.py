"""Who may do what at every address: the table, tried cell by cell, and the ways around it."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Membership, Organization, User
from accounts.roles import Role
from approvals.models import Review
from integrations.models import Connection
from opsdesk.lib import clock
from tests.visits import (
    METHODS,
    VISITORS,
    Url,
    client_of,
    counted_once,
    every_url,
    furnish,
    latest,
    quietly,
    said,
    undone,
    unrendered,
)
from workflows.models import Case

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True)(quietly)
rail = pytest.fixture(autouse=True)(counted_once)

TABLE = Path(__file__).with_name("access_table.txt")
PUBLIC = {
    *("accounts:sign_in", "accounts:second_step", "accounts:passkey_options"),
    *("integrations:provider", "integrations:provider_back"),
    *("healthz", "readyz", "metrics", "integrations:receive", "approvals:answer_link"),
}
# Keys of nothing: never given, larger than any column.
NOBODYS = ("987654321", "1" * 30)
Desk = tuple[Organization, dict[str, User]]


class Row(NamedTuple):
    """One line of the table."""

    name: str
    methods: frozenset[str]
    cells: dict[str, str]


def rows() -> Iterator[Row]:
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, methods, *cells = line.split()
            allowed = frozenset(METHODS if methods == "any" else methods.split(","))
            yield Row(name, allowed, dict(zip(VISITORS, cells, strict=True)))


ROWS = list(rows())
URLS = every_url()


def rows_for(url: Url) -> list[Row]:
    """The rows of an address: of the names that fit, the one furthest down."""
    fits = [row.name for row in ROWS if row.name == url.name or ("*" in row.name and fnmatchcase(url.name, row.name))]
    return [row for row in ROWS if fits and row.name == fits[-1]]


def expected(url: Url, method: str, visitor: str) -> str:
    """What the table says about one cell."""
    found = rows_for(url)
    for row in found:
        if method in row.methods:
            return row.cells[visitor]
    return "sign-in" if visitor == "anonymous" and found[0].cells["anonymous"] == "sign-in" else "405"


@pytest.fixture
def ours() -> Desk:
    return furnish("ours")


@pytest.fixture
def theirs() -> Desk:
    return furnish("theirs")


def tried(client: Client, method: str, address: str) -> str:
    """What the desk says; nothing comes of it."""
    with undone(client):
        with nullcontext() if method in ("GET", "POST") else unrendered():
            answer = client.generic(method, address)
        return said(client, answer)


def test_every_address_has_a_row_and_every_row_an_address():
    without_row = [url.name for url in URLS if not rows_for(url)]
    used = {row.name for url in URLS for row in rows_for(url)}

    assert not without_row
    assert {row.name for row in ROWS} == used


def test_no_more_is_public_than_is_named_here():
    assert {row.name for row in ROWS if row.cells["anonymous"] not in ("sign-in", "401")} == PUBLIC


@pytest.mark.parametrize("visitor", VISITORS)
def test_every_cell_of_the_table(ours, visitor):
    organization, members = ours
    client = client_of(visitor, members)

    wrong = []
    for url in URLS:
        address = url.address(organization)
        for method in METHODS:
            meant, wanted = tried(client, method, address), expected(url, method, visitor)
            if meant != wanted:
                wrong.append(f"{method} {address} ({url.name}): {meant} instead of {wanted}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("visitor", VISITORS[1:])
def test_what_is_not_ours_is_not_there(ours, theirs, visitor):
    client = client_of(visitor, ours[1])

    wrong, asked = [], 0
    for url in filter(carries_a_key, URLS):
        not_there = [url.address(ours[0], key=key) for key in NOBODYS]
        for method in [each for each in METHODS if expected(url, each, visitor) == "yes"]:
            meant = {tried(client, method, address) for address in (url.address(theirs[0]), *not_there)}
            wrong += [f"{method} {url.name}: {meant}"] if meant != {"404"} else []
            asked, not_there = asked + 1, []

    assert not wrong, "\n".join(wrong)
    assert asked > 0


def carries_a_key(url: Url) -> bool:
    """Whether a row is looked up; the admin's addresses without a verb only redirect to those that do."""
    return url.names_a_row and not url.name.startswith("admin/")


def test_not_yours_reads_like_not_there(ours, theirs):
    client = client_of("manager", ours[1])
    pages = [url for url in URLS if carries_a_key(url) and expected(url, "GET", "manager") == "yes"]
    assert pages

    for url in pages:
        bodies, works = set(), set()
        for key in (*NOBODYS, their_key(url, theirs)):
            with CaptureQueriesContext(connection) as asked:
                bodies.add(text_of(client.get(url.address(ours[0], key=key))))
            # As much work is as much time, on any machine; no column holds the largest key, so nothing is asked for it.
            works |= {len(asked)} if key != NOBODYS[1] else set()
        assert len(bodies) == 1, url.name
        assert len(works) == 1, (url.name, works)


def their_key(url: Url, theirs: Desk) -> str:
    return url.address(theirs[0]).strip("/").split("/")[1]


def text_of(answer: HttpResponse) -> str:
    return re.sub(r'nonce="[^"]*"', "", answer.content.decode())


def test_a_key_in_a_query_or_a_form_is_looked_at_like_one_in_an_address(ours, theirs):
    client = client_of("manager", ours[1])
    our_case, their_case = latest(Case, ours[0]), latest(Case, theirs[0])
    their_review = latest(Review, theirs[0])

    opened = client.get(reverse("approvals:queue"), {"case": their_case.pk})
    found = client.get(reverse("search"), {"q": their_case.key})
    news = client.get(reverse("approvals:queue_news"), {"shown": str(their_review.pk)}, headers={"HX-Request": "true"})
    given = client.post(reverse("approvals:reassign", args=[our_case.pk]), {"to": theirs[1]["operator"].pk})

    assert opened.status_code == 404
    assert found.status_code == 200
    assert str(their_case) not in found.content.decode()
    assert "Customer of theirs" not in news.content.decode()
    assert given.status_code == 302
    assert latest(Review, ours[0]).assignee == ours[1]["operator"]


@pytest.mark.parametrize("visitor", VISITORS[1:])
def test_no_page_shows_anything_of_another_organization(ours, theirs, visitor):
    client = client_of(visitor, ours[1])
    User.objects.filter(pk__in=[user.pk for user in theirs[1].values()]).update(last_name="of theirs")
    Case.objects.filter(organization=theirs[0]).update(party_name="Customer of theirs")
    Connection.objects.filter(organization=theirs[0]).update(name="Gateway of theirs")

    shown = []
    for url in URLS:
        if expected(url, "GET", visitor) == "yes":
            shown += [url.name] if "of theirs" in client.get(url.address(ours[0])).content.decode().lower() else []

    assert not shown


@pytest.mark.parametrize("visitor", ["anonymous", "operator"])
def test_no_spelling_of_an_address_leads_past_the_door(ours, visitor):
    client = client_of(visitor, ours[1])
    closed = [reverse("auditlog:entries"), reverse("admin:index"), reverse("approvals:escalations")]
    spellings = [
        *("{0}?/hooks/wholesale-uk/shop/", "/{0}", "/hooks/..{0}", "/.{0}", "{0};/healthz", "{0}%2f", "{0}..;/"),
        *("/healthz/..{0}", "/hooks/ours/gateway{0}", "{0}?next=/healthz"),
    ]
    headers = [{}, {"X-Original-URL": "/healthz"}, {"X-Rewrite-URL": "/healthz"}, {"X-HTTP-Method-Override": "OPTIONS"}]

    for address in closed:
        plain = said(client, client.get(address))
        assert plain == ("sign-in" if visitor == "anonymous" else "403")
        for spelling in [*map(str.format, spellings, [address] * len(spellings)), address.upper()]:
            for extra in headers:
                meant = said(client, client.get(f"http://testserver{spelling}", headers=extra))
                assert meant in (plain, "404", "405", "sign-in"), (spelling, extra, meant)


def test_rights_end_with_the_next_click(ours):
    members = ours[1]
    audit, queue, admin = reverse("auditlog:entries"), reverse("approvals:queue"), reverse("admin:index")
    clients = {role: client_of(role, members) for role in ("manager", "operator", "admin", "auditor")}
    assert {role: clients[role].get(queue).status_code for role in clients} == dict.fromkeys(clients, 200)

    Membership.objects.filter(user=members["manager"]).update(role=Role.VIEWER)
    Membership.objects.filter(user=members["auditor"]).update(ended_at=clock.now())
    Membership.objects.filter(user=members["admin"]).update(role=Role.OPERATOR)
    User.objects.filter(pk=members["operator"].pk).update(is_active=False)

    places = {"manager": audit, "auditor": queue, "admin": admin}
    assert {role: said(clients[role], clients[role].get(queue)) for role in clients} == dict.fromkeys(
        clients, "sign-in"
    )
    again = {role: client_of(role, members) for role in ("manager", "auditor", "admin")}
    assert {role: said(client, client.get(places[role])) for role, client in again.items()} == dict.fromkeys(
        again, "403"
    )


def test_the_queue_of_errands_opens_for_a_superuser(ours):
    User.objects.filter(pk=ours[1]["admin"].pk).update(is_superuser=True)
    client = client_of("admin", ours[1])

    for name in ("home", "jobs", "failed_jobs", "workers"):
        place = reverse(f"admin:django_rq_{name}", args=[] if name == "home" else [0])
        assert client.get(place).status_code == 200
