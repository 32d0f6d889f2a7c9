"""What is shown when something went wrong."""

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.plugins.pages import text_of


def test_an_address_that_leads_nowhere_says_so(desk, cast, sign_in):
    response = sign_in(cast.ada).get("/nowhere/")

    assert response.status_code == 404
    assert "Nothing is here" in text_of(response)


def test_a_page_that_the_role_does_not_allow_says_so(desk, cast, sign_in):
    response = sign_in(cast.ada).get("/audit/")

    assert response.status_code == 403
    assert "You may not open this" in text_of(response)


@pytest.fixture
def visitor(cast):
    """Signed in, and shown the answer where a test would otherwise see the error itself."""
    client = Client(raise_request_exception=False)
    client.force_login(cast.ada)
    return client


def test_a_database_that_is_away_means_come_again(visitor):
    def refuse(execute, sql, params, many, context):
        raise OperationalError("The database is away.")

    with connection.execute_wrapper(refuse):
        response = visitor.get("/runs/")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "The desk cannot answer just now" in text_of(response)


def test_any_other_error_is_a_500_that_tells_nothing_of_it(visitor):
    def stumble(execute, sql, params, many, context):
        raise RuntimeError("A secret detail.")

    with connection.execute_wrapper(stumble):
        response = visitor.get("/runs/")

    assert response.status_code == 500
    assert "The desk failed to answer" in text_of(response)
    assert "secret" not in text_of(response)
