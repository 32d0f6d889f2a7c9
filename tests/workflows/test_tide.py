"""Noticing that the database was put back."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from auditlog.models import Entry
from tests import factories
from tests.races import at_once
from workflows.models import Recovery, Tide
from workflows.recovery import mirrors, mode, tide
from workflows.recovery.tide import Cluster
from workflows.states import RecoveryCause


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.VAR_DIR = tmp_path


@pytest.fixture
def look(db, django_capture_on_commit_callbacks):
    """Look as a process does that commits."""

    def look_once() -> bool:
        with django_capture_on_commit_callbacks(execute=True):
            return tide.look()

    return look_once


def put_back(number):
    Tide.objects.update(number=number)


def test_the_mark_rises_and_is_copied_outside(look, settings):
    assert [look(), look(), look()] == [False, False, False]

    row = Tide.objects.get()
    assert row.number == 3
    assert json.loads((settings.VAR_DIR / "tide.json").read_text()) == {"desk": str(row.desk), "number": 3}
    assert mirrors.highest(row.desk) == mirrors.Known(3)


def test_a_database_older_than_its_copies_stops_every_organization_once(look):
    first, _ = factories.make_desk()
    second, _ = factories.make_desk("elsewhere", suffix="-e")
    for _ in range(5):
        look()
    before = Tide.objects.get().moved_at
    put_back(2)

    assert look()

    assert sorted(mode.held()) == [first.pk, second.pk]
    recovery = Recovery.objects.first()
    assert (recovery.cause, recovery.since) == (RecoveryCause.TIDE, before)
    assert "its mark is 2, and 5 was seen outside before" in recovery.reason
    assert Entry.objects.filter(verb="workflows.recovery.begun").count() == 2
    assert Tide.objects.get().number == 6
    assert [look(), look()] == [False, False]
    assert Recovery.objects.count() == 2


@pytest.mark.parametrize("lost", ["file", "redis"])
def test_one_copy_is_enough(look, organization, settings, lost):
    for _ in range(4):
        look()
    put_back(1)
    if lost == "file":
        (settings.VAR_DIR / "tide.json").unlink()
    else:
        settings.REDIS_URL = "redis://127.0.0.1:9/0"

    assert look()


def test_a_copy_that_lags_is_no_alarm(look, settings):
    look()
    copy = (settings.VAR_DIR / "tide.json").read_text()
    look()
    look()
    (settings.VAR_DIR / "tide.json").write_text(copy)

    assert not look()


def test_another_databases_copy_says_nothing(look, settings):
    look()
    (settings.VAR_DIR / "tide.json").write_text(json.dumps({"desk": "0" * 32, "number": 900}))

    assert not look()


def test_a_database_of_which_no_copy_knows_was_moved_or_restored(look, organization, settings):
    look()
    row = Tide.objects.get()
    (settings.VAR_DIR / "tide.json").unlink()
    Tide.objects.update(desk="7" * 32)

    assert look()

    assert Recovery.objects.get().cause == RecoveryCause.UNMARKED
    assert row.number == 1


def test_copies_that_cannot_be_read_are_no_alarm(look, settings):
    look()
    Tide.objects.update(desk="7" * 32)
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    assert not look()


def test_a_half_written_copy_is_no_alarm_and_is_written_again(look, settings):
    look()
    (settings.VAR_DIR / "tide.json").write_text('{"desk": "')

    assert not look()
    assert json.loads((settings.VAR_DIR / "tide.json").read_text())["number"] == 2


@pytest.mark.parametrize(("field", "word"), [("timeline", "timeline"), ("system", "cluster")])
def test_a_failover_without_loss_says_so_and_asks_one_person_once(look, organization, field, word):
    organization.recovery_signatures = 2
    organization.save(update_fields=["recovery_signatures"])
    look()
    Tide.objects.update(**{field: 4711})

    assert look()

    recovery = Recovery.objects.get()
    assert (recovery.cause, recovery.signatures_needed) == (RecoveryCause.CLUSTER, 1)
    assert f"another {word}" in recovery.reason
    assert "nothing of what was seen outside is missing" in recovery.reason
    assert not look()


def test_the_real_server_tells_what_it_is(db):
    found = tide.cluster_now()

    assert (found.system or 0) > 0
    assert found.timeline == 1


@pytest.mark.django_db
def test_a_server_that_denies_both_questions_leaves_the_mark(look, organization):
    look()
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE denied; GRANT ALL ON ALL TABLES IN SCHEMA public TO denied")
        cursor.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO denied")
        cursor.execute("REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_walfile_name(pg_lsn) FROM PUBLIC")
        cursor.execute("SET LOCAL ROLE denied")

    assert tide.cluster_now() == Cluster(None, None)
    assert not look()
    put_back(0)
    assert look()


@pytest.mark.django_db
def test_work_is_taken_over_a_new_connection_only_after_a_look(organization, monkeypatch):
    looks = []
    monkeypatch.setattr(tide, "look", lambda: looks.append(1))
    monkeypatch.setattr(tide._seen, "connection", None, raising=False)

    tide.look_when_connected_anew()
    tide.look_when_connected_anew()
    assert len(looks) == 1

    monkeypatch.setattr(tide._seen, "connection", object())
    tide.look_when_connected_anew()
    assert len(looks) == 2


@pytest.mark.django_db(transaction=True)
def test_several_who_look_at_once_begin_one_recovery():
    organization, _ = factories.make_desk()
    for _ in range(3):
        tide.look()
    put_back(1)

    found = at_once(*[tide.look] * 4)

    assert sorted(found) == [False, False, False, True]
    assert Recovery.objects.get().organization == organization
    assert Tide.objects.get().number == mirrors.highest(Tide.objects.get().desk).number


@pytest.mark.django_db
def test_the_database_keeps_one_mark():
    with pytest.raises(IntegrityError, match="workflows_tide_is_one_row"), transaction.atomic():
        Tide.objects.create(pk=2)


def said(*words):
    out = io.StringIO()
    call_command("recovery", *words, stdout=out)
    return out.getvalue()


def test_a_recovery_is_declared_at_the_server(db):
    organization, _ = factories.make_desk()

    assert "everything is sent as usual" in said("status")
    told = said("begin", "--reason", "Restored the dump of noon.", "--since", "2026-03-01T12:00Z")

    assert "Wholesale Uk recovers since" in told
    assert list(mode.held()) == [organization.pk]
    assert Recovery.objects.get().since.isoformat() == "2026-03-01T12:00:00+00:00"
    assert "under way already" in said("begin", "--reason", "Again.")
    assert "is the one it was" in said("look")


@pytest.mark.parametrize("words", [("--since", "noon"), ("--organization", "nobodys")])
def test_what_makes_no_sense_at_the_server_begins_nothing(db, words):
    factories.make_desk()

    with pytest.raises(CommandError):
        said("begin", "--reason", "x", *words)

    assert not Recovery.objects.exists()
