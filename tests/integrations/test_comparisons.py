"""Who is compared, how often, and what becomes of a comparison whose gateway or worker goes away."""

from datetime import timedelta

import pytest
from django.db import transaction

from auditlog.models import Entry
from integrations.models import Call, Connection, Reconciliation
from integrations.reconciliation import asking, running
from integrations.reconciliation.asking import NothingToCompare, UnderWay
from integrations.states import ReconciliationState
from opsdesk.lib import clock
from tests.integrations.comparing import nothing_is_young, reconciled, refunded

pytestmark = pytest.mark.django_db
long_ago = pytest.fixture(autouse=True)(nothing_is_young)


def test_a_gateway_that_is_away_is_asked_again_and_given_up_in_the_end(line):
    line.gateway.chaos({"503": 1.0})
    row = reconciled(line)

    assert (row.state, row.attempts) == (ReconciliationState.DUE, 1)
    assert row.due_at > clock.now()
    for _ in range(running.MOST_ATTEMPTS):
        Reconciliation.objects.update(due_at=clock.now())
        running.run_due()

    row.refresh_from_db()
    assert row.state == ReconciliationState.FAILED
    assert row.message
    assert Call.objects.filter(operation="list all refunds").count() == running.MOST_ATTEMPTS


def test_it_lists_page_by_page(line, monkeypatch):
    monkeypatch.setattr("integrations.connectors.stripe.connector.PAGE", 2)
    refunded(line, count=5)

    assert reconciled(line).compared == 5
    assert Call.objects.filter(operation="list all refunds").count() == 3


def test_each_connection_is_compared_once_a_day(line):
    assert asking.ask_what_is_due() == 1
    running.run_due()
    assert asking.ask_what_is_due() == 0

    Reconciliation.objects.update(asked_at=clock.now() - timedelta(hours=25))

    assert asking.ask_what_is_due() == 1
    assert Reconciliation.objects.first().since < clock.now() - timedelta(days=6)


def test_only_gateways_are_compared_and_one_at_a_time(line):
    shop = Connection.objects.get(slug="shop")
    with pytest.raises(NothingToCompare):
        asking.ask(shop.pk, by=line.cast.tomasz)

    asking.ask(line.connection.pk, by=line.cast.tomasz)
    with pytest.raises(UnderWay), transaction.atomic():
        asking.ask(line.connection.pk, by=line.cast.tomasz)


def test_a_worker_that_died_while_it_compared_is_followed_by_another(line):
    row = asking.ask(line.connection.pk, by=line.cast.tomasz)
    stale = running._claim()
    assert running.run_due() == 0
    Reconciliation.objects.update(lease_until=clock.now() - timedelta(seconds=1))

    assert running.run_due() == 1
    running._write(stale, running.Listing())

    row.refresh_from_db()
    assert (row.state, row.attempts) == (ReconciliationState.DONE, 2)
    assert Entry.objects.filter(verb="integrations.reconciliation.done").count() == 1


def test_one_that_takes_its_workers_with_it_is_given_up(line):
    row = asking.ask(line.connection.pk, by=line.cast.tomasz)
    for _ in range(running.MOST_ATTEMPTS):
        assert running._claim() is not None
        Reconciliation.objects.update(lease_until=clock.now() - timedelta(seconds=1))

    assert running._claim() is None
    row.refresh_from_db()
    assert row.state == ReconciliationState.FAILED
