"""A log to seal, and ways to change it that only whoever owns the tables has."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from accounts.models import Organization
from auditlog.models import Change, ChangeSeal, Entry, Seal
from auditlog.seals.sealing import close_next, close_next_changes
from auditlog.services import Actor, entry, record_all
from tests import factories


def alone(db: None) -> Organization:
    """A fixture: an organization and nobody in it, so that nothing else is in the log."""
    return factories.make_organization()


def tell(organization: Organization, count: int) -> list[Entry]:
    """Write entries, one by one different."""
    rows = [
        entry(
            "workflows.case.opened",
            actor=Actor.desk(),
            organization_id=organization.pk,
            subject=("case", number),
            reason=f"It arrived as “number {number}”.",
            after={"amount": number, "note": "ü\n\u2028\\"},
        )
        for number in range(1, count + 1)
    ]
    with transaction.atomic():
        record_all(rows)
    return rows


def close(*, most: int = 10) -> list[Seal]:
    """Seal all there is, whatever is under way elsewhere on the server; `most` entries a seal."""
    made = []
    close_changes()
    newest = Entry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    after = Seal.objects.values_list("last_id", flat=True).first() or 0
    keys = list(Entry.objects.filter(pk__gt=after, pk__lte=newest).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), most):
        seal = close_next(keys[start : start + most][-1])
        assert seal is not None
        made.append(seal)
    return made


def close_changes() -> list[ChangeSeal]:
    """Seal all that the database saw, whatever is under way elsewhere on the server."""
    made = []
    newest = Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    while (seal := close_next_changes(newest)) is not None:
        made.append(seal)
    return made


@contextmanager
def unguarded() -> Iterator[None]:
    """What the tables' owner can do: switch off the triggers that keep them append-only.

    Here all at once for this session, which even tables with deferred checks in this transaction bear.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("SET session_replication_role = origin")


def say(statement: str, *values: object) -> None:
    """One statement as the owner."""
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(statement, list(values) or None)


def exchange(table: str, columns: Iterable[str], one: int, other: int) -> None:
    """Have two rows say what the other one says, as the owner."""
    said = ", ".join(f"{column} = o.{column}" for column in columns)
    say(
        f"UPDATE {table} t SET {said} FROM {table} o WHERE (t.id, o.id) IN ((%s, %s), (%s, %s))",  # noqa: S608 - names that tests give
        *(one, other, other, one),
    )
