"""Connections: health, the switch, endpoints and calls."""

from datetime import timedelta

import pytest
from django.urls import reverse

from auditlog.models import Entry
from integrations.health import LOOKED_AT, healths
from integrations.models import Connection
from integrations.reasons import NothingToSwitch, ReasonMissing
from integrations.states import ActionState
from integrations.switches import pause, resume
from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import HTMX, MOST_STATEMENTS, cost, text_of
from workflows.states import EventState

CONNECTIONS = "/connections/"


@pytest.fixture
def gateway(organization):
    return Connection.objects.get(organization=organization, slug="gateway")


def health(cast):
    [found] = healths(cast.tomasz.memberships.get())
    return found


def call(gateway, *outcomes, **fields):
    for outcome in outcomes:
        factories.make_call(gateway, outcome=outcome, **fields)


def test_a_connection_that_answers_is_working(gateway, cast):
    for milliseconds in (10, 40, 310):
        call(gateway, "ok", milliseconds=milliseconds)

    found = health(cast)

    assert (found.words, found.tone, found.milliseconds, found.error_share) == ("working", "ok", 40, 0)


@pytest.mark.parametrize(
    ("outcomes", "words", "tone"),
    [
        (["ok"] * 49 + ["transient"], "1 of 50 calls failed", "warn"),
        (["transient"] * 10 + ["ok"] * 40, "10 of 50 calls failed", "warn"),
        (["ok"] * 10 + ["infrastructure"] * 40, "fails", "danger"),
        (["transient", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"], "working", "ok"),
        (["ok", "data"], "working", "ok"),
    ],
)
def test_errors_are_told_by_the_last_calls_and_a_refusal_is_an_answer(gateway, cast, outcomes, words, tone):
    call(gateway, *outcomes)

    assert (health(cast).words, health(cast).tone) == (words, tone)


def test_older_calls_are_no_longer_looked_at(gateway, cast):
    call(gateway, "infrastructure", "infrastructure")
    call(gateway, *["ok"] * LOOKED_AT)

    assert (health(cast).failed, health(cast).calls) == (0, LOOKED_AT)


def test_the_last_good_answer_is_found_behind_many_bad_ones(gateway, cast):
    then = clock.now() - timedelta(hours=3)
    factories.at(factories.make_call(gateway), at=then)
    call(gateway, *["infrastructure"] * (LOOKED_AT + 5))

    assert (health(cast).last_ok_at, health(cast).failed) == (then, LOOKED_AT)


def test_what_waits_and_what_is_not_certain_is_counted(organization, gateway, cast):
    for state in (ActionState.RESERVED, ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN,
                  ActionState.VERIFIED):  # fmt: skip
        factories.make_action(factories.make_run(factories.make_case(organization)), state=state)

    assert (health(cast).waiting, health(cast).in_doubt) == (2, 2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"acting_enabled": False}, "sending is paused"),
        ({"enabled": False}, "switched off"),
        ({"base_url": ""}, "only sends to us"),
        ({}, "not called yet"),
    ],
)
def test_a_silent_connection_says_why(gateway, cast, fields, words):
    Connection.objects.update(**fields)

    assert (health(cast).words, health(cast).tone) == (words, "")


def test_pausing_stops_sending_and_says_why(gateway, cast):
    pause(gateway.pk, by=cast.tomasz, reason=" Month end. ")

    gateway.refresh_from_db()
    assert (gateway.acting_enabled, gateway.paused_reason) == (False, "Month end.")
    entry = Entry.objects.get(verb="integrations.connection.paused")
    assert (entry.user, entry.reason) == (cast.tomasz, "Month end.")
    assert (entry.before["sending"], entry.after["sending"]) == (True, False)


def test_resuming_sends_again(gateway, cast):
    pause(gateway.pk, by=cast.tomasz, reason="Month end.")
    resume(gateway.pk, by=cast.tomasz, reason="It is over.")

    gateway.refresh_from_db()
    assert (gateway.acting_enabled, gateway.paused_reason) == (True, "")
    assert Entry.objects.get(verb="integrations.connection.resumed").reason == "It is over."


def test_switching_twice_and_without_a_reason_is_refused(gateway, cast):
    with pytest.raises(NothingToSwitch):
        resume(gateway.pk, by=cast.tomasz, reason="It never stopped.")
    with pytest.raises(ReasonMissing):
        pause(gateway.pk, by=cast.tomasz, reason="  ")

    gateway.refresh_from_db()
    assert gateway.acting_enabled
    assert not Entry.objects.filter(verb__startswith="integrations.connection.pause").exists()


def test_what_is_due_waits_while_sending_is_paused(organization, gateway, cast):
    from integrations.claiming import claim

    factories.make_action(factories.make_run(factories.make_case(organization)))
    pause(gateway.pk, by=cast.tomasz, reason="Month end.")

    assert claim(10).actions == []
    resume(gateway.pk, by=cast.tomasz, reason="It is over.")
    assert len(claim(10).actions) == 1


def test_the_page_shows_health_endpoints_and_calls_without_a_secret(organization, gateway, cast, sign_in):
    call(gateway, "ok")
    factories.make_call(gateway, outcome="transient", status=None, message="The connection broke.")
    factories.make_event(organization, endpoint="gateway")
    factories.make_event(organization, endpoint="gateway", state=EventState.QUARANTINED)

    response = sign_in(cast.tomasz).get(CONNECTIONS)

    text = text_of(response)
    assert "/hooks/wholesale-uk/gateway/" in text
    assert "POST /v1/refunds" in text and "The connection broke." in text
    endpoint = response.context["endpoints"].get(slug="gateway")
    assert endpoint.quarantined == 1 and endpoint.last_at is not None
    for secret in ("sk_test", "whsec", gateway.secret, endpoint.secret):
        assert secret not in response.content.decode()


def test_the_calls_of_one_connection_are_chosen_in_the_address(organization, gateway, cast, sign_in):
    call(gateway, "ok")
    bank = factories.make_connection(organization, "bank")
    call(bank, "ok", "ok")
    client = sign_in(cast.tomasz)

    assert {each.connection for each in client.get(f"{CONNECTIONS}?connection=bank").context["calls"]} == {bank}
    assert len(client.get(CONNECTIONS).context["calls"]) == 3
    assert len(client.get(f"{CONNECTIONS}?connection=nonsense").context["calls"]) == 3


def test_an_admin_pauses_and_resumes_with_a_reason(gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    paused = client.post(reverse("integrations:pause", args=[gateway.pk]), {"reason": "Month end."}, follow=True)
    again = client.post(reverse("integrations:pause", args=[gateway.pk]), {"reason": "Month end."})
    nothing = client.post(reverse("integrations:resume", args=[gateway.pk]), {"reason": ""})

    assert "Sending through Gateway is paused" in text_of(paused)
    assert "“Month end.”" in text_of(paused)
    assert (again.status_code, nothing.status_code) == (409, 422)
    assert "paused already" in text_of(again)
    assert not Connection.objects.get(pk=gateway.pk).acting_enabled


@pytest.mark.parametrize("who", ["ada", "maya", "ines"])
def test_others_look_and_switch_nothing(gateway, cast, sign_in, who):
    client = sign_in(getattr(cast, who))

    assert "Pause sending" not in text_of(client.get(CONNECTIONS))
    assert client.post(reverse("integrations:pause", args=[gateway.pk]), {"reason": "x"}).status_code == 403
    assert Connection.objects.get(pk=gateway.pk).acting_enabled


def test_connections_of_another_organization_are_not_there(organization, gateway, cast, sign_in):
    other, _ = factories.make_desk("elsewhere", suffix="-elsewhere")
    theirs = Connection.objects.get(organization=other)
    call(theirs, "ok", path="/theirs")
    client = sign_in(cast.tomasz)

    assert client.post(reverse("integrations:pause", args=[theirs.pk]), {"reason": "x"}).status_code == 404
    assert "/theirs" not in text_of(client.get(CONNECTIONS))
    assert [each.connection for each in client.get(CONNECTIONS).context["healths"]] == [gateway]


def test_a_poll_gets_the_state_and_then_nothing_new(gateway, cast, sign_in):
    factories.at(factories.make_call(gateway), at=clock.now() - timedelta(hours=1))
    client = sign_in(cast.tomasz)

    first = client.get(CONNECTIONS, headers=HTMX)
    again = client.get(CONNECTIONS, headers={**HTMX, "If-None-Match": first.headers["ETag"]})

    assert 'id="connection-state"' in first.content.decode()
    assert "<html" not in first.content.decode() and "csrfmiddlewaretoken" not in first.content.decode()
    assert again.status_code == 304


def test_the_page_costs_the_same_with_many_connections_and_calls(organization, gateway, cast, sign_in):
    client = sign_in(cast.tomasz)

    def fill(names, count):
        for name in names:
            connection = factories.make_connection(organization, name)
            call(connection, *["ok"] * count)

    fill(["a", "b"], 3)
    few = cost(client, CONNECTIONS)
    fill(["c", "d", "e", "f", "g", "h"], 10)

    assert cost(client, CONNECTIONS) == few <= MOST_STATEMENTS
