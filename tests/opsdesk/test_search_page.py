"""Search: one field for cases, customers, payments, orders and amounts."""

import re

import pytest
from django.db import connection
from django.urls import reverse

from integrations.models import Customer
from tests import factories
from tests.plugins.pages import MOST_STATEMENTS, cost, statements, text_of


@pytest.fixture
def case(organization):
    case = factories.make_case(
        organization, key="C536391", party="17548", party_name="Harbour Lane Gifts", target="pi_536365", amount="141.48"
    )
    factories.make_payment(case, order="536365")
    return case


@pytest.mark.parametrize("words", ["C536391", "c536391", " C536391 ", "17548", "pi_536365", "536365", "CASE-{pk}"])
def test_what_names_one_case_exactly_opens_it(case, cast, sign_in, words):
    response = sign_in(cast.ada).get("/search/", {"q": words.format(pk=case.pk)})

    assert response.status_code == 302
    assert response.headers["Location"] == reverse("approvals:case", args=[case.pk])


def test_several_cases_of_one_customer_are_listed_newest_first(case, organization, cast, sign_in):
    second = factories.make_case(organization, party="17548")

    response = sign_in(cast.ada).get("/search/?q=17548")

    assert response.context["found"] == [second, case]


@pytest.mark.parametrize("words", ["141.48", "£141.48", "141.48 GBP", "gbp 141,48"])
def test_an_amount_finds_its_cases(case, organization, cast, sign_in, words):
    factories.make_case(organization, amount="141.49")

    response = sign_in(cast.ada).get("/search/", {"q": words})

    assert response.context["found"] == [case]


def test_a_part_of_a_customers_name_finds_the_cases(case, organization, cast, sign_in):
    Customer.objects.create(organization=organization, reference="17548", name="Harbour Lane Gifts")

    response = sign_in(cast.ada).get("/search/?q=harbour")

    assert response.context["found"] == [case]
    assert "Harbour Lane Gifts" in text_of(response)


@pytest.mark.parametrize(
    "words", ["harbour", "ARBOUR lan", "gifts harbour", "returned C5363", "5363", "536391 shop", "gifts"]
)
def test_parts_of_words_find_the_cases_that_hold_them_all(case, organization, cast, sign_in, words):
    factories.make_case(organization, party_name="Harbour Master", reason="postage")

    response = sign_in(cast.ada).get("/search/", {"q": words})

    assert case in response.context["found"]
    assert all(word.lower() in text_of(response).lower() for word in words.split() if word != "shop")


def test_a_word_that_one_of_them_lacks_leaves_it_out(case, organization, cast, sign_in):
    factories.make_case(organization, party_name="Harbour Master", reason="postage")

    assert sign_in(cast.ada).get("/search/?q=harbour+gifts").context["found"] == [case]


def test_every_way_to_a_case_goes_over_an_index(case, cast, sign_in):
    """With sequential scans made dear, a plan that still has one has no index to use."""
    client = sign_in(cast.ada)
    with statements() as asked:
        client.get("/search/", {"q": "141.48"})
        client.get("/search/", {"q": "harbour gifts"})
    found = [each["sql"] for each in asked if each["sql"].startswith("(SELECT") and " UNION ALL " in each["sql"]]
    assert len(found) == 4

    plans = ""
    with connection.cursor() as cursor:
        for statement in found:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("EXPLAIN " + statement)
            plans += "\n".join(row[0] for row in cursor.fetchall())
    assert not re.search(r"Seq Scan on (workflows_case|integrations_)", plans)


@pytest.mark.parametrize("words", ["", "   ", "nothing like that", "%", "\x00", "9" * 40, "CASE-" + "9" * 18, "£"])
def test_words_that_name_nothing_find_nothing_and_break_nothing(case, cast, sign_in, words):
    response = sign_in(cast.ada).get("/search/", {"q": words})

    assert response.status_code == 200
    assert response.context["found"] == []


def test_what_was_asked_for_is_shown_as_text(case, cast, sign_in):
    html = sign_in(cast.ada).get("/search/", {"q": "<script>alert(1)</script>"}).content.decode()

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize("words", ["C536391", "17548", "pi_536365", "536365", "141.48", "CASE-{pk}", "{pk}"])
def test_cases_of_another_organization_are_not_found(case, sign_in, words):
    _, strangers = factories.make_desk("elsewhere", suffix="-elsewhere")

    response = sign_in(strangers.ada).get("/search/", {"q": words.format(pk=case.pk)})

    assert response.status_code == 200
    assert response.context["found"] == []


def test_searching_changes_nothing_and_takes_no_post(case, cast, sign_in):
    assert sign_in(cast.ada).post("/search/", {"q": "C536391"}).status_code == 405


def test_the_number_of_statements_does_not_grow_with_rows(organization, cast, sign_in):
    client = sign_in(cast.ada)
    for _ in range(5):
        factories.make_case(organization, party="17548")
    few = cost(client, "/search/?q=17548")
    for _ in range(55):
        factories.make_case(organization, party="17548")

    # A full page needs no further look for names and amounts.
    assert cost(client, "/search/?q=17548") <= few <= MOST_STATEMENTS
