"""The page of triggers: what begins runs, when it last did, and when it would next."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import make_cast, make_organization
from tests.workflows.triggers.conftest import opened, publish, trigger
from tests.workflows.triggers.test_events import ALL
from workflows.models import Pulse, Workflow
from workflows.triggers.firing import look
from workflows.triggers.showing import stand

pytestmark = pytest.mark.django_db
NOON = datetime(2027, 3, 26, 11, tzinfo=UTC)


@pytest.fixture
def organization():
    return make_organization("clocks", time_zone="Europe/Berlin")


@pytest.fixture
def ines(client, organization):
    client.force_login(make_cast(organization).ines)
    return client


def page(client) -> str:
    answer = client.get(reverse("workflows:triggers"))
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_kind_is_said_in_words(ines, organization):
    publish(organization, *ALL, opened_by="watch.asked")
    look(NOON)

    shown = page(ines)

    for words in (
        "the event watch.asked arrives",
        "the event parcel.lost arrives and worth is above 100",
        "somebody sends the form “Ask”",
        "the total of an order goes above 1000.00 GBP",
        "the clock shows 0 7 * * mon-fri",
        "a review is open for more than 8 business hours",
        "another workflow starts it",
    ):
        assert words in shown
    assert shown.count("not yet") == 7
    assert shown.count("whenever it happens") == 4
    assert "looked at every 15 s" in shown
    assert "29 Mar" in shown


def test_it_says_when_a_trigger_last_fired_and_what_went_wrong(ines, organization):
    stale = trigger("age", record="case", standing="open", business_hours=8)
    version = publish(organization, trigger("schedule", cron="0 7 * * *"), stale)
    look(NOON)
    look(Pulse.objects.get(key="by-schedule").next_at)
    opened()
    Pulse.objects.filter(key="by-age").update(trouble="The calendar has no working time.")

    shown = page(ines)

    assert shown.count("not yet") == 1
    assert "last look failed" in shown
    assert "The calendar has no working time." in shown
    said = stand(version.triggers.get(key="by-schedule"))
    assert said.startswith("Last fired ")
    assert said.endswith("; next Sun 28 Mar 2027 07:00.")


def test_a_workflow_that_is_off_says_so_and_a_draft_has_not_begun(ines, organization):
    version = publish(organization, trigger("schedule", cron="0 7 * * *"))
    assert "within seconds" in page(ines)

    Workflow.objects.update(enabled=False)

    assert "not while the workflow is switched off" in page(ines)
    from workflows.publishing import new_draft

    draft = new_draft(version, by=None, reason="Edit")
    assert stand(draft.triggers.get()) == "It fires once the version is published."


def test_others_triggers_are_not_shown_and_nothing_is_said_of_nothing(ines, organization):
    publish(make_organization("other"), trigger("schedule", cron="0 7 * * *"))

    assert "Nothing begins runs yet" in page(ines)


def test_more_triggers_cost_no_more_statements(ines, organization):
    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            page(ines)
        return len(asked)

    publish(organization, trigger("workflow"))
    page(ines)
    few = cost()
    publish(organization, *ALL, opened_by="watch.asked")
    publish(organization, trigger("workflow"), slug="second", case_kind="second", name="Second")

    assert cost() == few
