"""Limits of a connection: what finds no room waits, and nothing fails for it."""

from datetime import timedelta
from decimal import Decimal

import pgtrigger
import pytest
from django.db import IntegrityError

from integrations import claiming, limits, sending
from integrations.models import Action, Connection, Permit, Throttle
from integrations.secrets import encrypt
from integrations.states import ActionState
from tests import factories
from tests.plugins.line import Line, due_now, pass_time
from tests.races import at_once
from workflows.models import Run
from workflows.states import CaseState, RunState, WaitsFor
from workflows.tasks import tick

REFUNDS = "/v1/refunds"


@pytest.fixture
def bank(db: None) -> Connection:
    organization, _ = factories.make_desk()
    return Connection.objects.get(organization=organization)


def limited(connection: Connection, **fields) -> Connection:
    """The connection with these limits."""
    Connection.objects.filter(pk=connection.pk).update(**fields)
    connection.refresh_from_db()
    return connection


def planned(line: Line, count: int) -> list[Action]:
    for _ in range(count):
        line.ask("20.00")
    while tick():
        pass
    return list(Action.objects.order_by("pk"))


def posts(line: Line) -> int:
    return len([row for row in line.gateway.requests() if row["method"] == "POST" and row["path"] == REFUNDS])


def states() -> set[str]:
    return set(Action.objects.values_list("state", flat=True))


# --- calls a second --------------------------------------------------------------------------------------------------


def test_a_burst_goes_out_at_once_and_then_one_after_the_other(bank):
    limited(bank, calls_per_second=Decimal("0.5"), burst=3)

    assert [limits.take(bank, 2).tries, limits.take(bank, 2).tries, limits.take(bank, 2).tries] == [2, 1, 0]
    pass_time(timedelta(seconds=4))
    room = limits.take(bank, 5)
    assert room.tries == 2
    assert room.words == "Gateway is called at most 0.50 times a second."
    assert timedelta(seconds=1) < room.wait <= timedelta(seconds=2)


def test_the_bucket_never_holds_more_than_the_burst(bank):
    limited(bank, calls_per_second=5, burst=4)
    limits.take(bank, 4)

    pass_time(timedelta(hours=1))

    assert limits.take(bank, 100).tries == 4


@pytest.mark.parametrize(("rate", "tries"), [("0.10", 1), ("1", 2), ("20", 40)])
def test_without_a_burst_it_is_what_comes_in_between_two_looks(bank, rate, tries):
    limited(bank, calls_per_second=Decimal(rate))

    assert limits.take(bank, 1_000).tries == tries


def test_a_try_that_took_several_calls_is_charged_for_them(bank):
    limited(bank, calls_per_second=1, burst=2)
    limits.take(bank, 2)
    limits.charge(bank.pk, 3)

    pass_time(timedelta(seconds=3.5))
    assert limits.take(bank, 1).tries == 0
    pass_time(timedelta(seconds=1))
    assert limits.take(bank, 1).tries == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_share_one_limit():
    organization, _ = factories.make_desk()
    bank = limited(Connection.objects.get(organization=organization), calls_per_second=Decimal("0.01"), burst=5)

    def take() -> int:
        from django.db import transaction

        with transaction.atomic():
            return limits.take(bank, 2).tries

    assert sum(at_once(*[take] * 6)) == 5


def test_actions_beyond_the_rate_wait_and_say_so(line: Line):
    limited(line.connection, calls_per_second=Decimal("0.20"), burst=20)
    planned(line, 3)
    Throttle.objects.update(tokens=2)

    line.work()
    waiting = Action.objects.get(state=ActionState.RESERVED)
    assert posts(line) == 2
    assert waiting.message == "Gateway is called at most 0.20 times a second."
    assert waiting.attempts == 0
    line.let_pass(seconds=30)

    assert states() == {ActionState.VERIFIED}
    line.assert_sound()


def test_readings_beyond_the_rate_wait_with_their_runs(line: Line):
    limited(line.connection, calls_per_second=Decimal("0.20"), burst=1)
    for _ in range(3):
        line.ask("20.00")

    line.work()

    waiting = Run.objects.filter(waits_for=WaitsFor.CONNECTION)
    assert waiting.count() == 2
    assert {run.reason for run in waiting} == {"Gateway is called at most 0.20 times a second."}
    assert {run.attempt for run in waiting} == {0}
    for _ in range(12):
        line.let_pass(seconds=10)
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.SUCCEEDED}
    line.assert_sound()


def test_another_connection_does_not_wait_for_a_limited_one(line: Line):
    planned(line, 2)
    bank = factories.make_connection(
        line.organization, "bank", base_url=line.gateway.url, secret=encrypt(line.gateway.api_key)
    )
    free = Action.objects.order_by("pk").last()
    type(free.payment).objects.filter(pk=free.payment_id).update(connection=bank)
    with pgtrigger.ignore("integrations.Action:intent_never_changed"):
        Action.objects.filter(pk=free.pk).update(connection=bank)
    limited(line.connection, calls_per_second=Decimal("0.01"), burst=1)
    Throttle.objects.create(connection=line.connection, tokens=0)

    line.work()

    assert Action.objects.get(pk=free.pk).state == ActionState.VERIFIED
    assert posts(line) == 1


# --- tries at once ---------------------------------------------------------------------------------------------------


def test_no_more_tries_are_under_way_than_are_allowed(bank):
    limited(bank, most_at_once=3)

    first, second = limits.take(bank, 2), limits.take(bank, 2)
    assert (first.tries, second.tries, limits.take(bank, 2).tries) == (2, 1, 0)
    assert second.words == "Gateway is sent at most 3 at once."
    limits.give_back(first.permits)
    assert limits.take(bank, 5).tries == 2


def test_a_worker_that_went_away_holds_its_room_for_a_minute_only(bank):
    limited(bank, most_at_once=1)
    limits.take(bank, 1)

    pass_time(timedelta(seconds=61))

    assert limits.take(bank, 1).tries == 1


def test_actions_go_out_as_many_at_once_as_are_allowed(line: Line):
    planned(line, 5)
    limited(line.connection, most_at_once=2)

    claimed = claiming.claim(20)
    assert (len(claimed.actions), len(claimed.put_off)) == (2, 3)
    limits.give_back(claimed.permits.values())
    # What the worker took and never sent is looked up after its lease, and repeated a while later.
    for _ in range(5):
        line.let_pass(seconds=70)

    assert states() == {ActionState.VERIFIED}
    assert not Permit.objects.exists()
    line.assert_sound()


# --- retries ---------------------------------------------------------------------------------------------------------


def test_retries_are_at_least_one_a_second(bank):
    assert limits.take_retries(bank, 100) == 10
    assert limits.take_retries(bank, 1) == 0
    pass_time(timedelta(seconds=10))
    assert 0 <= limits.take_retries(bank, 1) <= 1  # the window slides: what was taken is forgotten little by little
    pass_time(timedelta(seconds=10))
    assert limits.take_retries(bank, 100) in (9, 10)


def test_the_window_slides(bank):
    assert limits.take_retries(bank, 10) == 10

    pass_time(timedelta(seconds=15))

    assert 4 <= limits.take_retries(bank, 10) <= 6


def test_retries_are_a_tenth_of_many_calls(bank):
    for _ in range(200):
        factories.make_call(bank)

    assert limits.take_retries(bank, 100) == 20


def test_retries_beyond_the_budget_wait_and_use_up_no_attempt(line: Line):
    planned(line, 14)
    line.gateway.fault("429=0", method="POST", path=REFUNDS, times=14)
    sending.send_due()
    due_now(Action.objects.all())

    sending.send_due()

    assert posts(line) == 14 + 10
    held = Action.objects.filter(message="Its retry waits: Gateway had its share of retries for now.")
    assert [action.attempts for action in held] == [1] * 4
    line.let_pass(minutes=1)
    assert states() == {ActionState.VERIFIED}
    line.assert_sound()


def test_first_tries_are_not_held_up_by_retries(line: Line):
    planned(line, 3)
    Action.objects.update(attempts=1)
    Throttle.objects.create(connection=line.connection, retries=10)
    fresh = line.ask("20.00")

    line.work()

    fresh.refresh_from_db()
    assert fresh.state == CaseState.DONE
    assert posts(line) == 1


def test_readings_that_are_repeated_ask_the_budget_too_and_still_come_to_an_end(line: Line):
    Throttle.objects.create(connection=line.connection, retries=10)
    case = line.ask("20.00")
    line.gateway.fault("500_before", method="GET", path="/v1/payment_intents", times=3)
    tick()
    due_now(Run.objects.all())
    tick()

    run = Run.objects.get()
    assert (run.attempt, run.reason) == (1, "The retry waits: Gateway had its share of retries for now.")
    for _ in range(4):
        line.let_pass(minutes=1)
    case.refresh_from_db()
    assert case.state == CaseState.FAILED
    assert Run.objects.get().attempt == 3


@pytest.mark.parametrize("fields", [{"calls_per_second": 0}, {"burst": 0}, {"most_at_once": 0}, {"most_attempts": 0}])
def test_a_limit_that_lets_nothing_through_is_refused(bank, fields):
    with pytest.raises(IntegrityError, match="integrations_connection_limits_let_some_through"):
        limited(bank, **fields)


def test_a_connection_may_ask_for_more_attempts(line: Line):
    limited(line.connection, most_attempts=5)
    planned(line, 1)
    line.gateway.fault("429=0", method="POST", path=REFUNDS, times=100)

    for _ in range(8):
        line.let_pass(minutes=2)

    assert posts(line) == 5
    assert states() == {ActionState.FAILED}
