"""One connection's page and the page of all switches: what is shown, and who turns what."""

from datetime import timedelta

import pytest
from django.urls import reverse

from auditlog.models import Entry
from integrations.holds import current
from integrations.models import Breaker, Connection, MaintenanceWindow, OperationSwitch
from integrations.queueing import say_why
from integrations.states import BreakerState
from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import HTMX, cost, text_of
from workflows.models import Run, Workflow
from workflows.states import RunState, WaitsFor

SWITCHES = "/switches/"
# Ten things about one connection stand on its page: more than a list has.
MOST_FOR_ONE_CONNECTION = 22


@pytest.fixture
def gateway(organization):
    return Connection.objects.get(organization=organization, slug="gateway")


def page_of(connection):
    return reverse("integrations:connection", args=[connection.pk])


def operate(client, connection, wish, *, operation="refund", reason="Their status page says so."):
    address = reverse("integrations:operate", args=[connection.pk])
    return client.post(address, {"operation": operation, "wish": wish, "reason": reason}, follow=True)


def queued(organization, **fields):
    return factories.make_action(
        factories.make_run(factories.make_case(organization), state=RunState.WAITING), **fields
    )


def test_the_page_shows_breaker_limits_budget_windows_and_queue_with_the_reason(organization, gateway, cast, sign_in):
    Connection.objects.update(calls_per_second=5, most_at_once=3)
    factories.make_open_breaker(gateway)
    factories.make_window(gateway)
    action = queued(organization)
    waiting = factories.make_run(
        factories.make_case(organization), state=RunState.WAITING, waits_for=WaitsFor.CONNECTION, priority=10,
        waits_on="gateway/read", wake_at=clock.now() + timedelta(minutes=5), reason="Gateway is under maintenance.",
    )  # fmt: skip
    say_why(current())

    text = text_of(sign_in(cast.ada).get(page_of(gateway)))

    assert "12 of 14 calls failed within 30 s." in text
    assert "They move house." in text
    assert "5.00, 10.00 could go out now" in text
    assert "0 of 3 under way" in text
    assert "10 retries left now" in text
    assert "2 in all" in text
    assert text.index(f"RUN-{waiting.pk}") < text.index(f"RUN-{action.run_id}")
    assert "Refund of £141.48" in text
    assert "the same key for 23 h, then a look-up" in text
    assert "in part, until the customer has said where the money goes, costs nothing" in text
    assert "Hold open" not in text


def test_a_connection_that_only_sends_has_no_operations(organization, cast, sign_in):
    shop = factories.make_connection(organization, "shop", connector="standard", base_url="")

    assert "It only sends to us." in text_of(sign_in(cast.ada).get(page_of(shop)))


def test_an_admin_holds_a_breaker_and_lets_it_go(gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    held = operate(client, gateway, "open")
    again = operate(client, gateway, "open")
    assert "Refund is held until somebody lets it go." in text_of(held)
    assert "held by staff" in text_of(held)
    assert again.status_code == 409
    operate(client, gateway, "release")

    assert not Breaker.objects.get().forced
    assert operate(client, gateway, "closed").status_code == 200
    assert (Breaker.objects.get().state, Breaker.objects.get().forced) == (BreakerState.CLOSED, True)


def test_an_admin_turns_an_operation_off_and_on(gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    off = operate(client, gateway, "off")
    assert "“ Their status page says so. ”, Tomasz Kowal" in text_of(off)
    assert "Operations that are off" in text_of(client.get(SWITCHES))
    assert OperationSwitch.objects.get().operation == "refund"
    operate(client, gateway, "on")

    assert not OperationSwitch.objects.exists()


@pytest.mark.parametrize("wrong", [{"reason": " "}, {"wish": "explode"}, {"operation": "a b"}, {"reason": "x" * 201}])
def test_what_is_not_asked_properly_is_refused(gateway, cast, sign_in, wrong):
    answer = operate(sign_in(cast.tomasz), gateway, **{"wish": "off", **wrong})

    assert answer.status_code == 422
    assert not OperationSwitch.objects.exists()
    assert not Entry.objects.filter(verb__startswith="integrations.operation").exists()


def test_an_admin_ends_maintenance_early(organization, gateway, cast, sign_in):
    window = factories.make_window(gateway)
    address = reverse("integrations:end_maintenance", args=[gateway.pk])
    client = sign_in(cast.tomasz)

    answer = client.post(address, {"window": window.pk, "reason": "They are ready."}, follow=True)

    assert "The maintenance is over" in text_of(answer)
    window.refresh_from_db()
    assert window.ended_at is not None
    assert client.post(address, {"window": window.pk, "reason": "Again."}).status_code == 409
    other = factories.make_window(factories.make_connection(organization, "bank"))
    assert client.post(address, {"window": other.pk, "reason": "Not this one."}).status_code == 404


def test_an_admin_turns_the_wide_switches(organization, cast, sign_in):
    client = sign_in(cast.tomasz)
    workflow = Workflow.objects.get()

    for address in (
        reverse("integrations:turn_organization"),
        reverse("integrations:turn_workflow", args=[workflow.pk]),
    ):
        done = client.post(address, {"wish": "off", "reason": "Something is wrong."}, follow=True)
        assert "is switched off." in text_of(done)
        assert client.post(address, {"wish": "off", "reason": "Again."}).status_code == 409
        assert client.post(address, {"wish": "on", "reason": ""}).status_code == 422

    organization.refresh_from_db()
    workflow.refresh_from_db()
    assert (organization.acting_enabled, workflow.enabled) == (False, False)
    assert text_of(client.get(SWITCHES)).count("Switch on") == 2


@pytest.mark.parametrize("who", ["ada", "maya", "ines"])
def test_others_look_and_turn_nothing(gateway, cast, sign_in, who):
    client = sign_in(getattr(cast, who))

    assert operate(client, gateway, "off").status_code == 403
    assert client.post(reverse("integrations:turn_organization"), {"wish": "off", "reason": "x"}).status_code == 403
    for page in (page_of(gateway), SWITCHES):
        assert "Switch off" not in text_of(client.get(page))
    assert not OperationSwitch.objects.exists()


def test_another_organization_is_not_there(organization, gateway, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs = Connection.objects.get(organization=other)
    client = sign_in(cast.tomasz)

    assert client.get(page_of(theirs)).status_code == 404
    assert operate(client, theirs, "off").status_code == 404
    turn = reverse("integrations:turn_workflow", args=[Workflow.objects.get(organization=other).pk])
    assert client.post(turn, {"wish": "off", "reason": "x"}).status_code == 404
    assert "Elsewhere" not in text_of(client.get(SWITCHES))


def test_a_poll_gets_the_facts_without_a_form(gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    first = client.get(page_of(gateway), headers=HTMX)
    again = client.get(page_of(gateway), headers={**HTMX, "If-None-Match": first.headers["ETag"]})

    assert 'id="connection-facts"' in first.content.decode()
    assert "<form" not in first.content.decode() and "<html" not in first.content.decode()
    assert again.status_code == 304


def test_the_pages_cost_the_same_with_much_to_show(organization, gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    def fill(count):
        for _ in range(count):
            queued(organization)
            factories.make_window(gateway)
            connection = factories.make_connection(organization, f"c{Connection.objects.count()}")
            OperationSwitch.objects.create(connection=connection, operation="refund", reason="x", by=cast.tomasz)

    factories.make_open_breaker(gateway)
    fill(2)
    few = [cost(client, page) for page in (page_of(gateway), SWITCHES)]
    fill(6)

    assert [cost(client, page) for page in (page_of(gateway), SWITCHES)] == few
    assert max(few) <= MOST_FOR_ONE_CONNECTION


def test_maintenance_is_planned_in_the_admin_with_a_reason(gateway, cast, sign_in):
    client = sign_in(cast.tomasz)
    address = reverse("admin:integrations_maintenancewindow_add")
    soon, later = clock.now() + timedelta(hours=1), clock.now() + timedelta(hours=2)
    asked = {
        "connection": gateway.pk,
        "starts_at_0": f"{soon:%Y-%m-%d}", "starts_at_1": f"{soon:%H:%M:%S}",
        "ends_at_0": f"{later:%Y-%m-%d}", "ends_at_1": f"{later:%H:%M:%S}",
        "reason": "They move house.",
        "change_reason": "They told us by mail.",
    }  # fmt: skip

    wrong = client.post(address, {**asked, "ends_at_0": f"{soon - timedelta(days=1):%Y-%m-%d}"})
    assert wrong.status_code == 200 and "It ends after it starts." in wrong.content.decode()
    assert client.post(address, asked).status_code == 302

    window = MaintenanceWindow.objects.get()
    assert window.connection == gateway
    entry = Entry.objects.get(verb="integrations.window.planned")
    assert (entry.user, entry.reason) == (cast.tomasz, "They told us by mail.")
    assert "They move house." in text_of(client.get(page_of(gateway)))


def test_a_held_run_says_so_on_its_own_page(organization, gateway, cast, sign_in):
    action = queued(
        organization,
    )
    Run.objects.filter(pk=action.run_id).update(waits_for=WaitsFor.ACTION, wake_at=None)
    factories.make_open_breaker(gateway)
    say_why(current())

    text = text_of(sign_in(cast.ada).get(reverse("workflows:run", args=[action.run_id])))

    assert "Gateway is in trouble: 12 of 14 calls failed within 30 s." in text
