"""What the numbers beside the navigation count."""

from datetime import timedelta

import pytest

from integrations.models import Connection
from integrations.states import ActionState, BreakState
from opsdesk.counts import COUNTERS
from opsdesk.lib import clock
from opsdesk.lib.counting import counts_of
from tests import factories
from workflows.states import FailureState, Tier

HOUR = timedelta(hours=1)


@pytest.fixture
def numbers(organization, cast):
    """The numbers as maya sees them."""

    def look():
        member = cast.maya.memberships.get()
        return counts_of(member, 99, {name: rows(member) for name, rows in COUNTERS.items()})

    return look


def test_an_empty_desk_counts_nothing(numbers):
    assert set(numbers().values()) == {0}


def test_each_number_counts_what_its_page_lists(organization, cast, numbers):
    factories.make_review(factories.make_case(organization), assignee=cast.ada)
    factories.make_review(factories.make_case(organization), assignee=cast.ada, due_at=clock.now() - HOUR)
    factories.make_review(factories.make_case(organization), assignee=cast.ada, escalated_at=clock.now())
    factories.make_review(factories.make_case(organization), tier=Tier.FAST_TRACK)
    factories.make_review(factories.make_case(organization), blocked_reason="Nobody in Refunds may vote.")
    action = factories.make_action(factories.make_run(factories.make_case(organization)), state=ActionState.UNKNOWN)
    factories.at(action, created_at=clock.now() - HOUR)
    factories.make_action(factories.make_run(factories.make_case(organization)), state=ActionState.UNKNOWN)
    factories.make_failure(organization)
    factories.make_failure(organization, state=FailureState.RESOLVED)
    factories.make_alert(organization)
    factories.make_alert(None)
    factories.make_alert(organization, acknowledged_at=clock.now(), acknowledged_by=cast.maya)
    factories.make_alert(organization, cleared_at=clock.now())
    factories.make_break(organization)
    factories.make_break(organization)
    factories.make_break(organization, state=BreakState.GONE, closed_at=clock.now())
    factories.make_recovery(organization)
    factories.make_recovery(organization, ended=True)

    assert numbers() == {
        "queue": 4, "escalations": 2, "leaving": 1, "stalled": 4, "alerts": 2, "failures": 1, "connections": 0,
        "differences": 2, "recovery": 1, "second_opinions": 0, "notices": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "count"),
    [(["ok"], 0), (["ok", "infrastructure"], 1), (["transient", "ok"], 0), (["ok", "data"], 0)],
)
def test_a_connection_is_trouble_when_its_last_call_was_not_answered(organization, numbers, outcomes, count):
    for outcome in outcomes:
        factories.make_call(Connection.objects.get(), outcome=outcome)

    assert numbers()["connections"] == count


def test_a_paused_connection_is_trouble(organization, numbers):
    Connection.objects.update(acting_enabled=False)

    assert numbers()["connections"] == 1


def test_another_organization_does_not_count(organization, cast, numbers):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    factories.make_review(factories.make_case(other), due_at=clock.now() - HOUR)
    factories.make_failure(other)
    factories.make_alert(other)
    factories.make_break(other)
    factories.make_recovery(other)
    Connection.objects.filter(organization=other).update(acting_enabled=False)

    assert set(numbers().values()) == {0}
