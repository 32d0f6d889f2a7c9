"""Whether the process lives, and whether it can serve."""

from datetime import timedelta

import pytest
from celery import current_app
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch.heartbeats import database_now, note
from tests import factories
from workflows.recovery import mode


def refuse(execute, sql, params, many, context):
    raise OperationalError("The database is away.")


def test_a_process_that_answers_lives_and_asks_no_database(client, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"alive": True})
    assert client.head("/healthz").status_code == 200


@pytest.fixture
def beating(db):
    """A desk whose clock goes."""
    note(HeartbeatKind.BEAT, "work-1:1")


@pytest.mark.usefixtures("beating")
def test_with_everything_there_it_is_ready(client):
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"ready": True, "database": "ok", "migrations": "ok", "broker": "ok", "beat": "ok"}


@pytest.mark.usefixtures("beating")
def test_a_desk_that_recovers_serves_and_says_so(client):
    organization = factories.make_organization()
    mode.declare(organization.pk, by=None, reason="The backup of noon was put back.")

    response = client.get("/readyz")

    assert (response.status_code, response.json()["mode"]) == (200, "recovery")


@pytest.mark.django_db
def test_without_its_database_it_is_not_ready_and_keeps_the_trouble_to_itself(client):
    with connection.execute_wrapper(refuse):
        response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {
        "ready": False, "database": "not reachable", "migrations": "not reachable", "broker": "ok",
        "beat": "not reachable",
    }  # fmt: skip


@pytest.mark.django_db
def test_with_a_migration_missing_it_is_not_ready(client):
    MigrationRecorder(connection).migration_qs.filter(app="auditlog").delete()

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["migrations"] == "missing"


@pytest.mark.django_db
def test_without_its_broker_it_is_not_ready(client, monkeypatch):
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["broker"] == "not reachable"


@pytest.mark.usefixtures("beating")
def test_with_a_clock_that_stands_still_it_is_not_ready(client):
    Heartbeat.objects.update(last_seen_at=database_now() - timedelta(minutes=5))

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["beat"] == "silent for 5 min"


@pytest.mark.django_db
def test_a_clock_that_never_went_is_said_too(client):
    response = client.get("/readyz")

    assert (response.status_code, response.json()["beat"]) == (503, "never seen")


@pytest.mark.django_db
def test_whoever_needs_less_asks_for_less(client):
    response = client.get("/readyz", {"only": "database, migrations"})

    assert (response.status_code, response.json()) == (200, {"ready": True, "database": "ok", "migrations": "ok"})
    assert set(client.get("/readyz", {"only": "nothing"}).json()) == {
        "ready", "database", "migrations", "broker", "beat",
    }  # fmt: skip


def test_a_process_lives_while_its_database_is_away(client, db):
    with connection.execute_wrapper(refuse):
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("address", ["/healthz", "/readyz"])
def test_nothing_can_be_sent_there(client, address):
    assert client.post(address).status_code == 405
