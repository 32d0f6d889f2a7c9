"""The page of alerts, and their place on the home page."""

import pytest
from django.urls import reverse

from auditlog.models import Entry
from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import MOST_STATEMENTS, cost, text_of
from workflows.alerts import clear_alert
from workflows.models import Alert

ALERTS = "/alerts/"


@pytest.fixture
def alert(organization):
    return factories.make_alert(organization)


def address(alert):
    return reverse("workflows:acknowledge_alert", args=[alert.pk])


def test_nothing_wrong_is_said(cast, sign_in):
    assert "Nothing is wrong" in text_of(sign_in(cast.ada).get(ALERTS))


def test_each_alert_says_what_is_wrong_and_that_nobody_looks_after_it(cast, sign_in, alert):
    factories.make_alert(None, kind="beat_stopped", words="Start beat again.")

    text = text_of(sign_in(cast.ada).get(ALERTS))

    assert "2 things are wrong with the desk itself, 2 without anybody who looks after them." in text
    assert alert.words in text and "Start beat again." in text
    assert text.count("Nobody looks after it") == 2
    assert text.count("concerns the whole desk") == 1


def test_what_is_wrong_elsewhere_is_not_shown(cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    hidden = factories.make_alert(other)

    response = sign_in(cast.maya).get(ALERTS)

    assert hidden.words not in text_of(response)
    assert sign_in(cast.maya).post(address(hidden), {"note": ""}).status_code == 404


def test_a_manager_looks_after_it_and_says_what_she_found(cast, sign_in, alert):
    client = sign_in(cast.maya)

    response = client.post(address(alert), {"note": "The shop is closed today."}, follow=True)

    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.note) == (cast.maya, "The shop is closed today.")
    text = text_of(response)
    assert "The shop is closed today." in text and "Nobody looks after it" not in text


def test_too_long_a_note_is_refused_in_its_place(cast, sign_in, alert):
    response = sign_in(cast.maya).post(address(alert), {"note": "x" * 301})

    assert response.status_code == 422
    alert.refresh_from_db()
    assert alert.acknowledged_by is None


def test_what_is_over_cannot_be_looked_after_and_stands_among_the_others(cast, sign_in, alert):
    client = sign_in(cast.maya)
    clear_alert(alert.organization, alert.kind, alert.subject)

    response = client.post(address(alert), {"note": ""})

    assert response.status_code == 409
    assert "is in order again" in text_of(response)
    assert not Entry.objects.filter(verb="workflows.alert.acknowledged").exists()
    assert alert.words in text_of(client.get(ALERTS, {"state": "over"}))
    assert alert.words not in text_of(client.get(ALERTS))


def test_home_says_it_before_anything_else(cast, sign_in, alert):
    factories.make_alert(alert.organization, words="Known.", acknowledged_at=clock.now(), acknowledged_by=cast.maya)

    text = text_of(sign_in(cast.ada).get("/"))

    assert text.index(alert.words) < text.index("Known.") < text.index("Failed")
    assert "Maya Nowak looks after it" in text


@pytest.mark.parametrize("state", ["", "over"])
def test_the_page_costs_the_same_for_many(organization, cast, sign_in, state):
    client = sign_in(cast.maya)
    address = f"{ALERTS}?state={state}"
    over = clock.now() if state else None
    factories.make_alert(organization, cleared_at=over)
    few = cost(client, address)

    for _ in range(20):
        factories.make_alert(organization, cleared_at=over, acknowledged_at=clock.now(), acknowledged_by=cast.ada)

    assert cost(client, address) == few <= MOST_STATEMENTS
    assert Alert.objects.count() == 21
