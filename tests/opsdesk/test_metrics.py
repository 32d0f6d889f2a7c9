"""/metrics: figures from rows, the same from every process, at a bounded price, and not for everybody."""

import re
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.db import DatabaseError, connection
from django.db.models import Value
from django.db.models.functions import Concat
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from integrations.models import Connection
from integrations.states import ActionState
from opsdesk.models import HeartbeatKind
from opsdesk.watch import figures
from opsdesk.watch.heartbeats import database_now, note
from tests import factories
from workflows.models import Case, Run, StepRun
from workflows.states import RunState, Tier

METRICS = "/metrics"
HOUR = timedelta(hours=1)
# Tables that grow with use: no scrape may read one from end to end.
LARGE = (
    "workflows_event", "workflows_run", "workflows_steprun", "workflows_case", "integrations_action",
    "integrations_call", "integrations_notice", "integrations_payment", "approvals_review", "auditlog_entry",
)  # fmt: skip


@pytest.fixture
def busy(organization, cast):
    """A bit of everything."""
    now = database_now()
    for state in (RunState.READY, RunState.RUNNING, RunState.SUCCEEDED):
        factories.make_run(factories.make_case(organization), state=state)
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    Run.objects.filter(state=RunState.READY).update(wake_at=now - timedelta(seconds=90))
    first = factories.make_step_run(run, "gather", "gather")
    second = factories.make_step_run(run, "decide", "decide", position=1)
    StepRun.objects.filter(pk=first.pk).update(at=now - timedelta(seconds=30))
    StepRun.objects.filter(pk=second.pk).update(at=now - timedelta(seconds=10))
    factories.make_action(run, state=ActionState.VERIFIED, verified_at=now)
    factories.make_call(Connection.objects.get(), outcome="ok")
    factories.make_event(organization)
    old = factories.make_event(organization, state="processed")
    factories.at(old, received_at=now - HOUR)
    review = factories.make_review(factories.make_case(organization), due_at=now - timedelta(minutes=1))
    factories.at(review, opened_at=now - HOUR)
    factories.make_failure(organization, items=1)
    factories.make_alert(None, kind="beat_stopped")
    note(HeartbeatKind.BEAT, "work-1:1")
    note(HeartbeatKind.TASK, "workflows.tick")


def scrape(client, **options) -> dict[tuple[str, ...], float]:
    """The figures by name and label values, in the order of the labels' names."""
    response = client.get(METRICS, **options)
    assert response.status_code == 200
    found = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for sample in family.samples:
            found[(sample.name.removeprefix("opsdesk_"), *sample.labels.values())] = sample.value
    return found


@pytest.mark.usefixtures("busy")
def test_the_figures_are_those_of_the_rows(client, organization):
    found = scrape(client)

    assert found["due", "runs"] == 1
    assert 90 <= found["due_lag_seconds", "runs"] < 900
    assert found["due", "events"] == 1
    assert found["due", "notices"] == 0 == found["due_lag_seconds", "notices"]
    assert (found["runs", "ready", ""], found["runs", "running", ""]) == (1, 1)
    assert found["runs", "waiting", "review"] == 2
    source = f"{organization.slug}/shop"
    assert found["events_5m", source, "received"] == 1
    assert ("events_5m", source, "processed") not in found
    assert found["steps_5m", "decide", "done"] == 1
    assert found["step_seconds_5m_sum", "decide", "decide"] == pytest.approx(20, abs=0.01)
    assert found["step_seconds_5m_quantile", "decide", "0.95", "decide"] == pytest.approx(20, abs=0.01)
    assert found["actions_5m", "gateway", "refund", organization.slug, "verified"] == 1
    assert found["calls_5m", "gateway", "refund", organization.slug, "ok"] == 1
    assert (found["reviews_open", Tier.FULL_REVIEW], found["reviews_late", Tier.FULL_REVIEW]) == (1, 1)
    assert 3600 <= found["review_oldest_seconds", Tier.FULL_REVIEW] < 4500
    assert (found["failures", "data"], found["alerts", "beat_stopped"]) == (1, 1)
    assert (found["processes", "beat"], found["processes", "worker"]) == (1, 0)
    assert 0 <= found["silence_seconds", "task", "workflows.tick"] < 900


@pytest.mark.django_db
def test_an_empty_desk_has_figures_too(client):
    found = scrape(client)

    assert found["due", "runs"] == 0 and found["processes", "beat"] == 0
    assert found["runs", "ready", ""] == 0


@pytest.mark.usefixtures("busy")
def test_a_scrape_costs_the_same_for_many_rows(client, organization):
    with CaptureQueriesContext(connection) as few:
        scrape(client)
    for _ in range(20):
        run = factories.make_run(factories.make_case(organization))
        factories.make_step_run(run, "gather", "gather")
        factories.make_event(organization)
    with CaptureQueriesContext(connection) as many:
        scrape(client)

    assert len(many) == len(few) <= 30


@pytest.mark.usefixtures("busy")
def test_no_statement_reads_a_large_table_from_end_to_end(client):
    """With sequential scans made dear, a plan that still has one has no index to use."""
    with CaptureQueriesContext(connection) as asked:
        scrape(client)
    statements = [each["sql"] for each in asked if each["sql"].lstrip().upper().startswith(("SELECT", "WITH"))]
    assert len(statements) > 10

    scanned = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        for statement in statements:
            cursor.execute("EXPLAIN " + statement)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            scanned += [(table, statement) for table in LARGE if re.search(rf"Seq Scan on {table}\b", plan)]
    assert not scanned


@pytest.mark.usefixtures("busy")
def test_recent_things_are_looked_for_among_the_newest_alone(client, organization, monkeypatch):
    monkeypatch.setattr(figures, "RECENT", 2)
    for _ in range(3):
        factories.make_event(organization)

    assert scrape(client)["events_5m", f"{organization.slug}/shop", "received"] == 2


# Who may have them.


def status(client, **options) -> int:
    return client.get(METRICS, **options).status_code


@pytest.mark.django_db
def test_in_production_nobody_has_them_unless_somebody_is_named(client):
    with override_settings(METRICS_ALLOWED=[], METRICS_TOKEN=""):
        assert status(client) == 403
        assert status(client, headers={"Authorization": "Bearer "}) == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "wanted"),
    [("Bearer s3cret", 200), ("bearer s3cret", 200), ("Bearer other", 403), ("Basic s3cret", 403), ("s3cret", 403),
     ("Bearer sécret", 403)],
)  # fmt: skip
def test_a_token_opens(client, header, wanted):
    with override_settings(METRICS_ALLOWED=[], METRICS_TOKEN="s3cret"):
        assert status(client, headers={"Authorization": header}) == wanted


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "wanted"),
    [("10.1.2.3", 200), ("fd00::7", 200), ("192.0.2.1", 403), ("", 403), ("odd", 403)],
)
def test_an_address_opens(client, address, wanted):
    with override_settings(METRICS_ALLOWED=[ip_network("10.0.0.0/8"), ip_network("fd00::/8")]):
        assert status(client, REMOTE_ADDR=address) == wanted


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_who_comes_through_a_proxy_does_not_borrow_its_address(client, header):
    assert status(client) == 200
    assert status(client, headers={header: "127.0.0.1"}) == 403


@pytest.mark.django_db
def test_without_its_database_there_are_none(client):
    def refuse(execute, sql, params, many, context):
        raise DatabaseError("The database is away.")

    with connection.execute_wrapper(refuse):
        response = client.get(METRICS)

    assert response.status_code == 503
    assert b"away" not in response.content


@pytest.mark.django_db
def test_no_name_of_a_person_or_case_is_among_them(client, organization, busy):
    Case.objects.update(party="canary-party", party_name="Canary Ltd", key=Concat(Value("canary-"), "key"))

    text = client.get(METRICS).content.decode()

    assert "anary" not in text and "Okafor" not in text
