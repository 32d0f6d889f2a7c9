"""Separate roles: the desk's role does all of the desk's work, and cannot change what was written down."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from psycopg.conninfo import make_conninfo

from auditlog.models import Entry, Seal
from auditlog.seals.verifying import verify
from opsdesk.grants import grant_to
from opsdesk.separation import check_roles_are_separate
from opsdesk.watch.doctor import servers
from opsdesk.watch.doctor.opinions import Verdict
from tests import factories
from tests.auditlog.sealed import close, tell
from tests.plugins.line import Line, open_review_of, vote

ROLE = "desk_of_the_tests"


def say(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def role(db: None) -> str:
    """A role that owns nothing; it is gone with the test's transaction."""
    say(f"CREATE ROLE {ROLE}")
    return ROLE


@contextmanager
def acting_as(role: str) -> Iterator[None]:
    """Have the role's rights and no others until the end of the block."""
    say(f"SET LOCAL ROLE {role}")
    yield
    say("RESET ROLE")


def test_the_whole_line_runs_as_a_role_that_owns_nothing(line: Line, role: str, client) -> None:
    grant_to(role)

    with acting_as(role):
        paid, leaves, reviewed = (
            line.ask(amount, order=line.paid(customer=customer), customer=customer)
            for customer, amount in (("c1", "20.00"), ("c2", "80.00"), ("c3", "200.00"))
        )
        line.work()
        vote(open_review_of(reviewed), line.cast.ben)
        line.post()
        line.let_pass(days=4)
        client.force_login(line.cast.ben)
        assert client.get(f"/cases/{paid.pk}/").status_code == 200

    assert len(line.refunds()) == 3
    for case in (paid, leaves, reviewed):
        case.refresh_from_db()
        assert case.state == "done"
    line.assert_sound()


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE auditlog_entry SET reason = 'nothing'",
        "INSERT INTO auditlog_change SELECT * FROM auditlog_change",
        "CREATE TEMP TABLE t (id bigint); CREATE TRIGGER x AFTER TRUNCATE ON t EXECUTE FUNCTION auditlog_tell_untold()",
        "DELETE FROM auditlog_entry",
        "TRUNCATE auditlog_entry",
        "ALTER TABLE auditlog_entry DISABLE TRIGGER ALL",
        "ALTER TABLE auditlog_entry ADD COLUMN more text",
        "DROP TABLE auditlog_entry",
        "SELECT setval(pg_get_serial_sequence('auditlog_entry', 'id'), 1)",
        "SET session_replication_role = replica",
        "GRANT UPDATE ON auditlog_entry TO desk_of_the_tests",
        "UPDATE django_migrations SET name = 'other'",
        "ALTER TABLE integrations_action DISABLE TRIGGER ALL",
    ],
)
def test_it_cannot_change_what_was_written_down(line: Line, role: str, attack: str) -> None:
    line.ask("20.00")
    line.work()
    grant_to(role)
    before = list(Entry.objects.order_by("pk").values())
    assert before

    with acting_as(role):
        refused = attempt(attack)

    assert refused or attack.startswith("GRANT")  # PostgreSQL only warns where nothing could be granted
    assert not may_change()
    assert list(Entry.objects.order_by("pk").values()) == before


SEVEN = {
    "update": "UPDATE {} SET id = id",
    "delete": "DELETE FROM {}",
    "truncate": "TRUNCATE {}",
    "alter": "ALTER TABLE {} DISABLE TRIGGER ALL",
    "drop": "DROP TABLE {}",
    "setval": "SELECT setval(pg_get_serial_sequence('{}', 'id'), 1)",
    "session_replication_role": "SET session_replication_role = replica",
}


@pytest.fixture
def connected(transactional_db: None) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Really connected as a role that may sign in and has the rights of the desk's processes."""
    say(f"DROP ROLE IF EXISTS {ROLE}_in")
    say(f"CREATE ROLE {ROLE}_in LOGIN PASSWORD 'in-the-tests'")
    grant_to(f"{ROLE}_in")
    place = connection.settings_dict
    parts = {"host": place["HOST"], "port": place["PORT"], "dbname": place["NAME"]}
    with psycopg.connect(
        make_conninfo(
            **{name: value for name, value in parts.items() if value}, user=f"{ROLE}_in", password="in-the-tests"
        ),
        autocommit=True,
    ) as signed_in:
        yield signed_in
    say(f"DROP OWNED BY {ROLE}_in")
    say(f"DROP ROLE {ROLE}_in")


def test_of_seven_attacks_by_the_connected_role_none_succeeds(connected) -> None:
    tell(factories.make_organization(), 3)
    close()
    before = list(Entry.objects.order_by("pk").values()), list(Seal.objects.values_list("head"))
    succeeded = []

    for table in ("auditlog_entry", "auditlog_handing"):
        for name, attack in SEVEN.items():
            try:
                connected.execute(attack.format(table))
                succeeded.append((table, name))
            except psycopg.errors.InsufficientPrivilege:
                pass
    for said in ("id", "at", "salt", "transaction"):  # nor may it say what is the database's own to say
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connected.execute(f"INSERT INTO auditlog_entry (actor, {said}) VALUES ('me', DEFAULT)")  # noqa: S608

    assert succeeded == []
    assert (list(Entry.objects.order_by("pk").values()), list(Seal.objects.values_list("head"))) == before
    assert verify().found == ""


def test_the_check_before_a_deployment_says_what_is_not_separated(role: str) -> None:
    [found] = check_roles_are_separate(databases=["default"])
    assert found.id == "opsdesk.W001" and "owns the tables" in found.msg and "--grant-to" in str(found.hint)
    grant_to(role)

    with acting_as(role):
        assert check_roles_are_separate(databases=["default"]) == []
    assert check_roles_are_separate(databases=None) == []


def attempt(statement: str) -> bool:
    """Whether it was refused for want of a right."""
    try:
        with transaction.atomic():
            say(statement)
    except DatabaseError as error:
        assert "permission denied" in str(error) or "must be owner" in str(error)
        return True
    return False


def may_change() -> bool:
    return bool(servers.ask(f"SELECT has_table_privilege('{ROLE}', 'auditlog_entry', 'UPDATE, DELETE, TRUNCATE')"))


def test_rights_that_it_had_before_are_taken_away(role: str) -> None:
    say(f"GRANT ALL ON auditlog_entry TO {role}")

    grant_to(role)

    assert not may_change()


def test_prepare_grants(role: str, capsys, settings, tmp_path) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    call_command("prepare", "--without-demo", "--grant-to", role)

    assert f"{role} may work with" in capsys.readouterr().out
    assert servers.ask(f"SELECT has_table_privilege('{role}', 'workflows_run', 'UPDATE')")


def test_the_doctor_tells_a_role_that_could_rewrite_the_log(role: str, settings) -> None:
    settings.PRODUCTION = True
    [as_owner] = servers.roles_are_separate()
    grant_to(role)
    with acting_as(role):
        [as_desk] = servers.roles_are_separate()
    say(f"GRANT DELETE ON auditlog_entry TO {role}")
    with acting_as(role):
        [with_more] = servers.roles_are_separate()

    assert as_owner.verdict is Verdict.WRONG and "owns the tables" in as_owner.words
    assert "--grant-to" in as_owner.advice
    assert as_desk.verdict is Verdict.GOOD
    assert with_more.verdict is Verdict.WRONG and "may change entries" in with_more.words
    settings.PRODUCTION = False
    assert [opinion.verdict for opinion in servers.roles_are_separate()] == [Verdict.NOTE]
