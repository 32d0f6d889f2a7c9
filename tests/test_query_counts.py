"""A page asks the database as often for a thousand rows as for ten."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization, User
from accounts.roles import Role
from auditlog.services import Actor, record
from integrations.models import Connection
from integrations.states import ActionState
from opsdesk.lib import clock
from tests import factories
from tests.approvals.opinions import make_second_opinion
from tests.opsdesk.lists import make_export, make_view
from tests.visits import Url, client_of, every_url, furnish, quietly
from workflows.states import EventState, Tier

pytestmark = pytest.mark.django_db
quiet = pytest.fixture(autouse=True, scope="module")(quietly)
# Pages that count no rows of the desk: packages', or files.
_NO_LISTS = ("admin:jsi18n", "admin:django_rq", "admin/django_rq", "metrics", "readyz")
# What would avoid breaches is asked for only where some are foreseen for the rest of the day: limits, and amounts.
_LEVERS = {"/escalations/forecast/": 2}


def one_more_of_everything(organization: Organization, members: dict[str, User], number: int) -> None:
    """A row of every kind that some page lists."""
    ada, maya, tomasz = members["operator"], members["manager"], members["admin"]
    waiting = factories.make_case(organization, party_name=f"Customer of row {number}")
    factories.make_review(waiting, assignee=ada)
    factories.make_action(waiting.runs.get(), state=ActionState.UNKNOWN)
    late = factories.make_case(organization)
    factories.make_review(late, due_at=clock.now() - timedelta(hours=1), escalated_at=clock.now())
    leaving = factories.make_case(organization, amount="80.00")
    factories.make_review(leaving, tier=Tier.FAST_TRACK, objection_ends_at=clock.now() + timedelta(minutes=20))
    factories.make_failure(organization)
    factories.make_run(
        factories.make_case(organization), paused_at=clock.now(), paused_why="Maya Lindqvist: month end."
    )
    factories.make_event(organization, state=EventState.QUARANTINED)
    factories.make_alert(organization)
    factories.make_call(Connection.objects.get(organization=organization, slug="gateway"))
    factories.make_break(organization)
    factories.make_recovery(organization, ended=True)
    factories.make_dry_run(organization, by=tomasz)
    factories.make_bulk(organization, maya)
    make_view(organization, ada, shared=False)
    make_export(organization, maya)
    make_second_opinion(organization, by=ada, asked=maya)
    factories.make_absence(
        factories.make_member(organization, f"away-{number}", Role.OPERATOR), organization, days=(40, 41)
    )
    record(
        "workflows.case.opened",
        actor=Actor.person(ada),
        organization_id=organization.pk,
        subject=("case", waiting.pk),
        case_id=waiting.pk,
        reason="Asked for by the shop.",
    )


def lists() -> list[Url]:
    """Every address that carries nobody's key."""
    return [url for url in every_url() if "<" not in url.route and not url.name.startswith(_NO_LISTS)]


def statements(pages: list[Url], members: dict[str, User], organization: Organization) -> dict[str, list[str]]:
    """What each page that opens asks, by visitor and address."""
    found = {}
    for visitor in ("manager", "admin", "auditor"):
        client = client_of(visitor, members)
        for page in pages:
            address = page.address(organization)
            client.get(address)  # what is asked once a process, or once a session
            with CaptureQueriesContext(connection) as asked:
                answer = client.get(address)
            if answer.status_code == 200:
                found[f"{visitor} {address}"] = [query["sql"] for query in asked]
    return found


def more(before: list[str], after: list[str]) -> list[str]:
    """The statements that came more often, without their values."""
    counted = Counter(sql[:160] for sql in after)
    counted.subtract(Counter(sql[:160] for sql in before))
    return [f"{times} × {sql}" for sql, times in counted.most_common(4) if times > 0]


@pytest.mark.parametrize("rows", [25, pytest.param(1_000, marks=pytest.mark.long)])
def test_every_list_asks_as_often_for_many_rows_as_for_ten(rows):
    organization, members = furnish("many")
    for number in range(10):
        one_more_of_everything(organization, members, number)
    pages = lists()
    few = statements(pages, members, organization)

    for number in range(10, rows):
        one_more_of_everything(organization, members, number)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # without it a statement over rows that nobody counted may take its whole time
    many = statements(pages, members, organization)

    assert len(few) > 60
    assert few.keys() == many.keys()
    grown = {
        page: more(few[page], many[page])
        for page in few
        if len(many[page]) > len(few[page]) + _LEVERS.get(page.partition(" ")[2], 0)
    }
    assert not grown, "\n".join(f"{page}: {asked}" for page, asked in grown.items())
