"""What the database saw: by whom, linked to what services told, and told by itself where nobody did."""

import pytest
import structlog
from django.db import DatabaseError, connection, transaction

from accounts.models import Organization, Team, User
from auditlog.models import Change, Entry
from auditlog.services import Actor, record
from tests.plugins.pages import text_of

pytestmark = pytest.mark.django_db


def commit() -> None:
    """Let the deferred triggers run, as they would when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def test_what_a_service_told_is_linked_and_not_told_twice(organization, cast, sign_in):
    team = Team.objects.create(organization=organization, name="Night shift", slug="night")
    told = record(
        "accounts.team.added",
        actor=Actor.person(cast.ines),
        organization_id=organization.pk,
        subject=("team", team.pk),
        reason="More to do at night.",
    )
    commit()

    told.refresh_from_db()
    seen = Change.objects.behind(told).get(kind="team", row_id=team.pk)
    assert (seen.operation, seen.before, seen.after["name"]) == ("insert", {}, "Night shift")
    assert not Entry.objects.filter(verb="auditlog.rows.changed").exists()

    page = sign_in(cast.ines).get(f"/audit/{told.pk}/")
    assert f"Team {team.pk} added, as {seen.database_user}" in text_of(page)
    assert "Night shift" in text_of(page)


@pytest.fixture
def acme(db) -> Organization:
    """An organization of which no service has told anything."""
    return Organization.objects.create(name="Acme", slug="acme")


def test_what_nobody_told_the_database_tells(acme):
    team = Team.objects.create(organization=acme, name="Night shift", slug="night")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL application_name = 'psql'")
    Team.objects.filter(pk=team.pk).update(cap=9)
    commit()

    seen = Change.objects.first()
    assert seen.actor == f"database user {seen.database_user}, application_name psql"
    assert seen.request_id == f"transaction {seen.transaction}"
    entry = Entry.objects.get()
    assert (entry.verb, entry.actor_kind, entry.after) == ("auditlog.rows.changed", "system", {"rows": 3})
    assert "1 insert of organization, 1 insert of team, 1 update of team, by database user" in entry.reason
    assert Change.objects.behind(entry).count() == 3


def test_one_change_that_nobody_told_stands_in_its_entry_by_whom_it_was(acme):
    user = User.objects.create(username="ada", first_name="Ada", last_name="Okafor")
    with structlog.contextvars.bound_contextvars(request_id="click-1", user_id=user.pk):
        Team.objects.create(organization=acme, name="Night shift", slug="night")

    seen = Change.objects.first()
    assert (seen.actor, seen.user_id, seen.request_id) == (f"user {user.pk}", user.pk, "click-1")
    assert "Ada" not in str(list(Change.objects.values("before", "after")))


@pytest.mark.parametrize(
    ("bound", "actor", "request_id"),
    [
        ({"request_id": "r1"}, "a request without sign-in", "r1"),
        ({"task_id": "t1", "task": "workflows.tick"}, "task workflows.tick", "t1"),
        ({"command": "migrate", "command_id": "c1"}, "command migrate", "c1"),
        ({"task_id": "t'; DROP TABLE x; --%s", "task": "100 % 'odd'"}, "task 100 % 'odd'", "t'; DROP TABLE x; --%s"),
    ],
)
def test_whoever_is_at_work_is_handed_to_the_database(acme, bound, actor, request_id):
    with structlog.contextvars.bound_contextvars(**bound):
        assert Organization.objects.filter(pk=acme.pk).update(name="100 % 'odd'") == 1
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_organization SET name = '%' RETURNING name")
            assert cursor.fetchall() == [("%",)]

    assert {(row.actor, row.request_id) for row in Change.objects.all()[:2]} == {(actor, request_id)}


def test_the_log_of_the_database_is_only_added_to(acme):
    for does in ("UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(does.format("auditlog_change"))
