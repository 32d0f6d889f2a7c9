"""The doctor: each thing it looks at is broken once, and it says so and what to do."""

import json
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from celery import current_app
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from integrations.models import Action, Connection, Endpoint
from integrations.secrets import encrypt
from integrations.states import ActionState
from opsdesk.lib import clock
from opsdesk.models import Heartbeat, HeartbeatKind
from opsdesk.watch.doctor import examine, ground, life, servers
from opsdesk.watch.doctor.opinions import Verdict
from opsdesk.watch.heartbeats import database_now
from tests import factories
from tests.opsdesk.beats import HOUR, MINUTE, TASKS, age, seen
from workflows.states import RunState

WRONG, NOTE, GOOD = Verdict.WRONG, Verdict.NOTE, Verdict.GOOD
SAFE = {
    "PRODUCTION": True,
    "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": ["desk.example"],
    "BASE_URL": "https://desk.example",
    "SESSION_COOKIE_SECURE": True,
    "CSRF_COOKIE_SECURE": True,
    "OUTBOUND_EXCEPTIONS": [],
    "METRICS_ALLOWED": [],
    "METRICS_TOKEN": "",
}


def verdicts(look) -> list[Verdict]:
    return [opinion.verdict for opinion in look()]


def words(look) -> str:
    return " ".join(f"{opinion.words} {opinion.advice}" for opinion in look())


# What the desk stands on.


def test_safe_settings_are_safe():
    with override_settings(**SAFE):
        assert verdicts(ground.settings_are_safe) == [GOOD]


@pytest.mark.parametrize(
    ("broken", "said", "verdict"),
    [
        ({"PRODUCTION": False}, "those of a laptop", NOTE),
        ({"DEBUG": True}, "DEBUG is on", WRONG),
        ({"SECRET_KEY": "short"}, "OPSDESK_SECRET_KEY has 5 characters", WRONG),
        ({"ALLOWED_HOSTS": ["*"]}, "admits every host", WRONG),
        ({"BASE_URL": "http://desk.example"}, "not https", WRONG),
        ({"SESSION_COOKIE_SECURE": False}, "plain HTTP", WRONG),
        ({"METRICS_ALLOWED": [ip_network("0.0.0.0/0")]}, "/metrics answers everybody", WRONG),
        ({"METRICS_TOKEN": "guess"}, "short enough to be guessed", WRONG),
        ({"OUTBOUND_EXCEPTIONS": ["10.0.0.5:443"]}, "10.0.0.5:443", NOTE),
    ],
)
def test_dangerous_settings_are_named(broken, said, verdict):
    with override_settings(**{**SAFE, **broken}):
        assert verdicts(ground.settings_are_safe) == [verdict]
        assert said in words(ground.settings_are_safe)


def test_secrets_that_no_key_opens_are_named(organization):
    assert verdicts(ground.secrets_can_be_read) == [GOOD]
    Connection.objects.filter(slug="gateway").update(secret=Fernet(Fernet.generate_key()).encrypt(b"x").decode())

    assert verdicts(ground.secrets_can_be_read) == [WRONG]
    assert "OPSDESK_FIELD_KEYS" in words(ground.secrets_can_be_read)


def test_an_old_secret_counts_too(organization):
    closed = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    Endpoint.objects.update(old_secret=closed, old_secret_until=clock.now())

    assert verdicts(ground.secrets_can_be_read) == [WRONG]
    Endpoint.objects.update(old_secret=encrypt("whsec_b2xk"))
    assert verdicts(ground.secrets_can_be_read) == [GOOD]


def test_static_files_that_were_not_collected_are_missed(tmp_path):
    manifest = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
    with override_settings(STATIC_ROOT=tmp_path, STORAGES=manifest):
        assert verdicts(ground.static_files_are_there) == [WRONG]
        (tmp_path / "staticfiles.json").write_text(json.dumps({"paths": {"a.css": "a.1.css", "b.css": "b.1.css"}}))
        (tmp_path / "a.1.css").touch()
        assert "1 of 2 static files are missing, b.1.css" in words(ground.static_files_are_there)
        (tmp_path / "b.1.css").touch()
        assert verdicts(ground.static_files_are_there) == [GOOD]


@pytest.mark.parametrize(
    ("free", "total", "verdict"), [(50, 100, GOOD), (9, 100, WRONG), (1, 5, WRONG), (300, 4000, WRONG)]
)
def test_a_disk_that_fills_up_is_told(monkeypatch, tmp_path, free, total, verdict):
    usage = SimpleNamespace(free=free * ground.GIGABYTE, total=total * ground.GIGABYTE)
    monkeypatch.setattr(ground.shutil, "disk_usage", lambda folder: usage)
    with override_settings(VAR_DIR=tmp_path):
        assert set(verdicts(ground.space_is_left)) == {verdict}


# The servers.


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "answer", "said"),
    [
        ("SHOW server_version_num", "140011", "PostgreSQL 14"),
        ("SELECT pg_is_in_recovery()", True, "takes no writes"),
        ("SHOW transaction_read_only", "on", "takes no writes"),
    ],
)
def test_a_database_that_will_not_do_is_told(monkeypatch, statement, answer, said):
    assert verdicts(servers.database_answers) == [GOOD]
    asked = servers.ask
    monkeypatch.setattr(servers, "ask", lambda each: answer if each == statement else asked(each))

    assert WRONG in verdicts(servers.database_answers)
    assert said in words(servers.database_answers)


@pytest.mark.django_db
def test_migrations_that_are_missing_or_unknown_are_told():
    assert verdicts(servers.migrations_are_applied) == [GOOD]

    MigrationRecorder(connection).record_applied("workflows", "9999_from_tomorrow")
    assert verdicts(servers.migrations_are_applied) == [NOTE]
    assert "workflows.9999_from_tomorrow" in words(servers.migrations_are_applied)

    MigrationRecorder(connection).migration_qs.filter(app="auditlog").delete()
    assert verdicts(servers.migrations_are_applied) == [WRONG]


@pytest.mark.django_db
def test_a_table_that_takes_down_nothing_is_told():
    assert verdicts(servers.changes_are_taken_down) == [GOOD]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_team DISABLE TRIGGER auditlog_note_update")

    assert verdicts(servers.changes_are_taken_down) == [WRONG]
    assert "auditlog_note_update on accounts_team" in words(servers.changes_are_taken_down)


@pytest.mark.django_db
@pytest.mark.parametrize(("minutes", "said"), [(6.5, "behind"), (-6.5, "ahead of")])
def test_a_clock_of_this_host_that_is_wrong_is_told(monkeypatch, minutes, said):
    assert verdicts(servers.clocks_agree) == [GOOD]
    monkeypatch.setattr(servers, "database_now", lambda: clock.now() + minutes * MINUTE)

    assert verdicts(servers.clocks_agree) == [WRONG]
    assert f"6 min {said} the database's" in words(servers.clocks_agree)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
def test_a_time_out_that_is_off_is_told(name):
    assert verdicts(servers.limits_are_set) == [GOOD]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = 0")

    assert verdicts(servers.limits_are_set) == [WRONG]
    assert f"{name} is off" in words(servers.limits_are_set)


def test_a_broker_that_is_away_is_told(monkeypatch):
    assert verdicts(servers.broker_answers) == [GOOD]
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")

    assert verdicts(servers.broker_answers) == [WRONG]


def test_a_server_of_errands_that_is_away_is_told():
    with override_settings(REDIS_URL="redis://127.0.0.1:9/0"):
        assert verdicts(servers.errands_are_kept) == [WRONG]


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok"}, GOOD),
        ({"aof_enabled": 0}, NOTE),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, WRONG),
        ({"aof_enabled": 1, "rdb_last_bgsave_status": "err"}, WRONG),
    ],
)
def test_whether_errands_survive_a_restart_is_said(monkeypatch, facts, verdict):
    monkeypatch.setattr(servers.redis.Redis, "info", lambda client, section: facts)

    assert verdicts(servers.errands_are_kept) == [verdict]


# What it does.


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    ("look", "name"),
    [
        (life.clock_goes, "work-1:1"),
        (life.workers_live, "work-1:2"),
        (life.workers_live, "work-1:3"),
        (life.tasks_are_done, TASKS[0]),
    ],
)
def test_what_does_not_run_is_told(look, name):
    assert set(verdicts(look)) == {GOOD}

    age(name, 5 * MINUTE)

    assert WRONG in verdicts(look)


@pytest.mark.django_db
@pytest.mark.parametrize("look", [life.clock_goes, life.workers_live, life.tasks_are_done])
def test_what_never_ran_is_told(look):
    assert WRONG in verdicts(look)


@pytest.mark.usefixtures("healthy")
def test_a_second_beat_is_noted():
    seen(HeartbeatKind.BEAT, "work-2:1")

    assert verdicts(life.clock_goes) == [GOOD, NOTE]
    assert "work-1:1, work-2:1" in words(life.clock_goes)


@pytest.mark.usefixtures("healthy")
def test_a_host_with_a_wrong_clock_is_told():
    assert verdicts(life.hosts_agree) == [GOOD]
    Heartbeat.objects.filter(name="work-1:2").update(host_clock=database_now() + HOUR)

    assert verdicts(life.hosts_agree) == [WRONG]


def test_what_is_stuck_is_told(organization):
    assert verdicts(life.nothing_is_stuck) == [GOOD]
    factories.at(factories.make_event(organization), received_at=database_now() - HOUR)

    assert verdicts(life.nothing_is_stuck) == [WRONG]


@pytest.mark.parametrize("what", ["run", "action"])
def test_leases_that_nobody_took_back_are_told(organization, what):
    assert verdicts(life.leases_are_given_back) == [GOOD]
    then = database_now() - HOUR
    if what == "run":
        factories.make_run(factories.make_case(organization), state=RunState.RUNNING, lease_until=then)
    else:
        run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
        action = factories.make_action(run, state=ActionState.SENDING)
        Action.objects.filter(pk=action.pk).update(lease_until=then, due_at=then)

    assert verdicts(life.leases_are_given_back) == [WRONG]


def test_webhooks_that_do_not_arrive_are_noted_and_refused_ones_told(organization):
    assert set(verdicts(life.webhooks_arrive)) == {NOTE}

    for endpoint in Endpoint.objects.all():
        factories.make_event(organization, endpoint=endpoint.slug)
    assert set(verdicts(life.webhooks_arrive)) == {GOOD}

    Endpoint.objects.update(refused_at=database_now(), refused_skew=-400)
    assert WRONG in verdicts(life.webhooks_arrive)

    Endpoint.objects.update(refused_at=None, enabled=False)
    assert verdicts(life.webhooks_arrive) == [NOTE]


def test_alerts_that_nobody_looks_after_are_noted(organization):
    assert verdicts(life.alerts_are_looked_after) == [GOOD]
    factories.make_alert(organization)

    assert verdicts(life.alerts_are_looked_after) == [NOTE]


# All of it.


def refuse(execute, sql, params, many, context):
    raise OperationalError("connection refused\n\tIs the server running?")


@pytest.fixture
def asked(monkeypatch):
    """One thing the doctor looks at, with the given opinions."""

    def ask(*opinions):
        one = examine.Examination("tried", lambda: opinions, needs_database=False)
        monkeypatch.setattr(examine, "EXAMINATIONS", (one,))

    return ask


@pytest.mark.django_db
def test_a_healthy_desk_ends_with_0(asked, capsys):
    asked(examine.noted("Worth knowing."))

    call_command("doctor")

    assert capsys.readouterr().out.splitlines() == ["note   tried          Worth knowing.", "Nothing is wrong."]


@pytest.mark.django_db
def test_one_that_is_not_ends_with_1_and_says_what_to_do(asked, capsys):
    asked(examine.noted("Worth knowing."), examine.wrong("It is broken.", "Mend it."))

    with pytest.raises(SystemExit) as end:
        call_command("doctor")

    assert end.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1:3] == ["wrong  tried          It is broken.", f"{'':21} Mend it."]


@pytest.mark.django_db
def test_machines_get_one_document(asked, capsys):
    asked(examine.wrong("It is broken.", "Mend it."))

    with pytest.raises(SystemExit):
        call_command("doctor", "--json")

    assert json.loads(capsys.readouterr().out) == {
        "well": False,
        "opinions": [{"about": "tried", "verdict": "wrong", "words": "It is broken.", "advice": "Mend it."}],
    }


@pytest.mark.django_db
def test_without_its_database_it_says_so_and_looks_at_the_rest():
    with connection.execute_wrapper(refuse):
        found = list(examine.examine())

    assert found[0][0] == "database" and found[0][1].verdict is WRONG
    assert "connection refused Is the server running?" in found[0][1].words
    looked = {name for name, _ in found}
    assert {"settings", "disk", "broker"} <= looked and "queues" not in looked


@pytest.mark.django_db
def test_what_cannot_be_looked_at_is_wrong_too(monkeypatch):
    def broken():
        raise OperationalError("no such table")

    monkeypatch.setattr(examine, "EXAMINATIONS", (examine.Examination("tried", broken),))

    [(_, opinion)] = examine.examine()
    assert opinion.verdict is WRONG and "no such table" in opinion.words


@pytest.mark.usefixtures("healthy")
def test_everything_is_looked_at(organization):
    looked = {name for name, _ in examine.examine()}

    assert looked == {examination.name for examination in examine.EXAMINATIONS}


def test_a_missing_extension_is_said_with_the_way_to_get_it(db, monkeypatch):
    assert verdicts(servers.texts_can_be_searched) == [GOOD]

    monkeypatch.setattr(servers, "ask", lambda statement: int("available" in statement))
    assert "CREATE EXTENSION pg_trgm" in words(servers.texts_can_be_searched)
    monkeypatch.setattr(servers, "ask", lambda statement: 0)
    assert verdicts(servers.texts_can_be_searched) == [WRONG]
    assert "contrib package" in words(servers.texts_can_be_searched)
