"""The replay against a desk that really listens: signed, counted, resumed, worked off."""

from dataclasses import replace
from io import StringIO

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test.testcases import LiveServerThread

from opsdesk.demo import mirrors, organization, settling
from opsdesk.demo.deliveries import Shares, plan
from opsdesk.demo.records import Excerpt, weeks_until
from opsdesk.lib import clock
from tests.plugins.sandbox import Gateway
from workflows.engine.intake import take_in
from workflows.models import Case, Event
from workflows.states import EventState

pytestmark = pytest.mark.django_db(transaction=True)
FIRST = [request.reference for request in Excerpt.read(0).requests[:40]]


@pytest.fixture
def desk(settings: LazySettings, live_server: LiveServerThread) -> str:
    """A desk that listens, with few records and no gateway; the address of its shop endpoint."""
    settings.GATEWAY_PORT = 9
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes its time
    loaded = organization.set_up()
    excerpt = Excerpt.read(weeks_until(clock.now().date()))
    few = replace(excerpt, customers=excerpt.customers[:10], orders=excerpt.orders[:10], past_refunds=())
    mirrors.fill(loaded, organization.gateway_of(loaded), few)
    return f"{live_server.url}/hooks/wholesale-uk/shop/"


def _replay(desk: str, *options: str) -> list[str]:
    said = StringIO()
    call_command("replay", "--url", desk, *options, stdout=said)
    return said.getvalue().splitlines()


def test_the_desk_takes_every_request_once_and_the_shares_are_exact(desk: str) -> None:
    said = _replay(desk, "--count", "40", "--duplicates", "0.25")

    assert said == [
        "40 of 877 requests will be sent.",
        "sent 50, accepted 40, duplicates 10, refused 0, retried 0",
    ]
    assert settling.arrived() == set(FIRST)
    assert Event.objects.filter(state=EventState.RECEIVED).count() == 40


def test_what_was_sent_opens_one_sound_case_each(desk: str) -> None:
    _replay(desk, "--count", "40")

    take_in()

    cases = {case.key: case for case in Case.objects.all()}
    originals = {request.reference: request for request in Excerpt.read(0).requests[:40]}
    assert cases.keys() == originals.keys()
    for reference, case in cases.items():
        assert case.problems == []
        assert (case.amount_minor, case.currency) == (originals[reference].amount_minor, "GBP")
        assert case.target == (f"pi_{originals[reference].order}" if originals[reference].order else "")
        assert case.party == (originals[reference].customer or "")


def test_a_gateway_that_knows_nothing_is_told_of_the_payments_first(
    desk: str, settings: LazySettings, gateway: Gateway
) -> None:
    settings.GATEWAY_PORT = gateway.port

    _replay(desk, "--count", "0")

    payments = [request for request in Excerpt.read(0).requests if request.order]
    assert len(payments) > 700
    for request in payments[:10]:
        assert gateway.get(f"/v1/payment_intents/pi_{request.order}").status == 200


def test_a_restarted_replay_goes_on_where_it_stopped(desk: str) -> None:
    _replay(desk, "--count", "10", "--late", "0", "--out-of-order", "0")

    said = _replay(desk, "--count", "5", "--duplicates", "0", "--late", "0", "--out-of-order", "0")

    assert said[-1] == "sent 5, accepted 5, duplicates 0, refused 0, retried 0"
    assert list(Event.objects.order_by("pk").values_list("dedupe_key", flat=True)) == [
        f"msg_{reference}" for reference in FIRST[:15]
    ]


def test_a_gentle_replay_passes_over_what_came_by_another_way(desk: str) -> None:
    requests = Excerpt.read(0).requests[:3]
    deliveries = settling.not_arrived(plan(requests, Shares(0, 0, 0), seed=7))
    first = next(deliveries)
    _replay(desk, "--count", "2", "--duplicates", "0", "--late", "0", "--out-of-order", "0")

    assert first.request == requests[0]
    assert [delivery.request for delivery in deliveries] == [requests[2]]


def test_a_wrong_address_is_reported_with_the_desks_own_words(desk: str) -> None:
    said = _replay(desk.replace("shop", "nobody"), "--count", "2", "--duplicates", "0")

    assert said[1] == "sent 2, accepted 0, duplicates 0, refused 2, retried 0"
    assert "404" in said[2]
    assert not Event.objects.exists()


def test_a_desk_that_is_away_ends_the_replay_with_its_summary(desk: str) -> None:
    with pytest.raises(CommandError, match="took nothing") as ended:
        _replay("http://127.0.0.1:9/hooks/", "--count", "2", "--patience", "0.3")

    assert "sent 0" in str(ended.value)


def test_waiting_ends_when_everything_came_to_rest(desk: str) -> None:
    _replay(desk, "--count", "3", "--duplicates", "0", "--late", "0", "--out-of-order", "0")

    with pytest.raises(CommandError, match="still works"):
        _replay(desk, "--count", "0", "--wait", "0.3")
    Event.objects.all().delete()
    said = _replay(desk, "--count", "0", "--wait", "0.3")

    assert said[-1].startswith("0 cases:")


def test_without_the_demonstration_there_is_nothing_to_replay() -> None:
    with pytest.raises(CommandError, match="load_demo"):
        call_command("replay")


def test_impossible_shares_are_refused_in_words(desk: str) -> None:
    with pytest.raises(CommandError, match="between 0 and 1"):
        _replay(desk, "--duplicates", "2")
