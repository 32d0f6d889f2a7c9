"""Very many cases in the demonstration organization, to see how the desk behaves when it holds them.

The database makes the rows itself, from numbers alone, so the same size gives the same cases. Closed cases have run to
their end; open ones wait for a decision, which can be made. Nothing of it is known to the gateway.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from accounts.models import Organization, Team, User
from approvals import terms
from approvals.models import TierSettings
from auditlog.services import Actor, entry, record_all
from integrations.models import Connection
from opsdesk.demo import cast
from opsdesk.demo.many_rows import CASES, CLOSED, CUSTOMERS, OPEN_DECISIONS, PAYMENTS, RUNS
from workflows.models import Case, Run, WorkflowVersion
from workflows.states import RunState, Tier, VersionState

CHUNK = 50_000
# References of these cases, so that they are told from the demonstration's own.
PREFIX = "R"
WATCHED = ("workflows_case", "workflows_decision", "approvals_review", "integrations_payment")
LARGE = (
    "workflows_case",
    "workflows_run",
    "workflows_decision",
    "approvals_review",
    "integrations_payment",
    "integrations_customer",
    "auditlog_entry",
)


def made() -> int:
    """How many of them there are already."""
    return Case.objects.filter(organization__slug=cast.ORGANIZATION, key__regex=f"^{PREFIX}[0-9]{{8}}$").count()


def make(total: int, waiting: int) -> Iterator[int]:
    """Make cases until there are `total`, of which the last `waiting` of those made now are open; says how far it is.

    Each step is a transaction, so one that was cut off goes on where it was.
    """
    organization = Organization.objects.get(slug=cast.ORGANIZATION)
    begin = made() + 1
    values = _values(organization, total, max(total - waiting, begin - 1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', '0', %s)", [connection.in_atomic_block])
        cursor.execute(CUSTOMERS, values)
    while begin <= total:
        end = min(begin + CHUNK - 1, total)
        _make_chunk({**values, "first": begin, "last": end})
        yield end
        begin = end + 1
    # Inside somebody's transaction nothing can be vacuumed; its planner is told all the same.
    verb = "ANALYZE" if connection.in_atomic_block else "VACUUM (ANALYZE)"
    with connection.cursor() as cursor:
        for table in LARGE:
            cursor.execute(f"{verb} {table}")


def _values(organization: Organization, total: int, closed_up_to: int) -> dict[str, Any]:
    version = WorkflowVersion.objects.get(
        workflow__organization=organization, workflow__slug="refund", state=VersionState.PUBLISHED
    )
    settings = TierSettings.objects.get(organization=organization, tier=Tier.FULL_REVIEW)
    people = User.objects.filter(username__in=["ada", "ben"], memberships__organization=organization)
    return {
        "organization": organization.pk,
        "workflow": version.workflow_id,
        "version": version.pk,
        "connection": Connection.objects.get(organization=organization, slug="gateway").pk,
        "total": total,
        "customers": max(total // 20, 20),
        "closed_up_to": closed_up_to,
        "prefix": PREFIX,
        "settings": settings.pk,
        "terms": Jsonb(terms.kept(organization.pk, {Tier.FULL_REVIEW})),
        "asks": list(Team.objects.filter(organization=organization, slug="refunds").values_list("pk", flat=True)),
        "people": list(people.order_by("pk").values_list("pk", flat=True)),
    }


@transaction.atomic
def _make_chunk(values: dict[str, Any]) -> None:
    with connection.cursor() as cursor, _unwatched(cursor):
        for statement in (CASES, PAYMENTS, RUNS, CLOSED):
            cursor.execute(statement, values)
        _open_reviews(cursor, values)


@contextmanager
def _unwatched(cursor: Any) -> Iterator[None]:
    """Have no trigger look at each of these rows: nobody has to know that a million cases were invented, one by one."""
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in WATCHED:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in WATCHED:
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def _open_reviews(cursor: Any, values: dict[str, Any]) -> None:
    """Decisions and reviews of the open cases: what they are about is hashed as the desk does it."""
    keys = [f"{PREFIX}{number:08d}" for number in range(values["first"], values["last"] + 1)]
    keys = keys[max(values["closed_up_to"] - values["first"] + 1, 0) :]
    runs = Run.objects.filter(case__organization_id=values["organization"], case__key__in=keys, state=RunState.WAITING)
    rows = list(runs.select_related("case").order_by("pk"))
    if not rows:
        return
    hashed = {"runs": [run.pk for run in rows], "hashes": [run.case.content_hash(run.facts) for run in rows]}
    cursor.execute(OPEN_DECISIONS, {**values, **hashed})
    record_all(
        entry(
            "workflows.case.opened",
            actor=Actor.desk("load_many"),
            organization_id=run.organization_id,
            subject=("case", run.case_id),
            case_id=run.case_id,
            reason="One of very many.",
        )
        for run in rows
    )
