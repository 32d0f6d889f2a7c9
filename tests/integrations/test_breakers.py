"""Circuit breakers: they open on trouble that all calls share, let one call find out, and close when it is answered."""

from datetime import timedelta

import pgtrigger
import pytest
from django.db import DatabaseError, IntegrityError
from django.db.models import F
from django.db.models.functions import Now

from auditlog.models import Entry
from integrations import breakers, holds, sending
from integrations.holds import READ
from integrations.models import Action, Breaker, Call, Connection
from integrations.reasons import NothingToSwitch, ReasonMissing
from integrations.secrets import encrypt
from integrations.states import ActionState, BreakerState, HoldKind
from opsdesk.lib import clock
from tests import factories
from tests.plugins.line import Line, due_now
from tests.races import at_once
from workflows.models import Alert, Run, StepRun
from workflows.states import CaseState, RunState, WaitsFor
from workflows.tasks import tick

REFUNDS = "/v1/refunds"
CALLS = {"ok": ("ok", 200), "busy": ("transient", 429), "no": ("data", 400), "500": ("transient", 500),
         "503": ("infrastructure", 503), "silence": ("transient", None), "key": ("infrastructure", 401),
         "conflict": ("transient", 409)}  # fmt: skip


@pytest.fixture
def bank(db: None) -> Connection:
    organization, _ = factories.make_desk()
    return Connection.objects.get(organization=organization)


def called(connection: Connection, *kinds: str, operation: str = "refund") -> list[Call]:
    """Calls that were just written down."""
    return [
        factories.make_call(connection, outcome=CALLS[kind][0], status=CALLS[kind][1], part_of=operation)
        for kind in kinds
    ]


def judged(connection: Connection, *kinds: str, operation: str = "refund") -> str:
    """The breaker's state after these calls."""
    breakers.judge(called(connection, *kinds, operation=operation), {})
    breaker = Breaker.objects.filter(connection=connection, operation=operation).first()
    return breaker.state if breaker else "no row"


def opened(connection: Connection, operation: str = "refund") -> Breaker:
    assert judged(connection, *["503"] * 10, operation=operation) == BreakerState.OPEN
    return Breaker.objects.get(connection=connection, operation=operation)


def pass_seconds(seconds: float) -> None:
    """Let breakers and calls grow older."""
    length = timedelta(seconds=seconds)
    Breaker.objects.update(
        **{name: F(name) - length for name in ("moved_at", "probe_at", "probe_until", "quiet_until")}
    )
    Call.objects.update(at=F("at") - length)


# --- when it opens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["503"] * 9, BreakerState.CLOSED),
        (["503"] * 10, BreakerState.OPEN),
        (["ok"] * 5 + ["silence"] * 5, BreakerState.OPEN),
        (["ok"] * 6 + ["500"] * 5, BreakerState.CLOSED),
        (["key"] * 10, BreakerState.OPEN),
        (["no"] * 30, "no row"),
        (["busy"] * 30, "no row"),
        (["conflict"] * 30, "no row"),
        (["busy"] * 10 + ["503"] * 9, BreakerState.CLOSED),
    ],
)
def test_it_opens_at_half_of_at_least_ten_calls_and_only_for_trouble_of_the_other_side(bank, kinds, state):
    assert judged(bank, *kinds) == state


def test_calls_of_more_than_thirty_seconds_ago_no_longer_count(bank):
    called(bank, *["503"] * 9)
    pass_seconds(31)

    assert judged(bank, "503") == BreakerState.CLOSED


def test_operations_and_connections_have_breakers_of_their_own(bank):
    other = factories.make_connection(bank.organization, "other")
    opened(bank)

    assert judged(bank, *["503"] * 9, operation=READ) == BreakerState.CLOSED
    assert judged(other, *["503"] * 9) == BreakerState.CLOSED


def test_an_open_breaker_says_so_alerts_and_is_written_down(bank):
    breaker = opened(bank)

    [hold] = holds.current()
    assert (hold.kind, hold.operation) == (HoldKind.BREAKER, "refund")
    assert hold.words.startswith("Gateway is in trouble: 10 of 10 calls failed within 30 s.")
    entry = Entry.objects.get(verb="integrations.breaker.opened")
    assert (entry.subject_id, entry.after) == (bank.pk, {"operation": "refund", "state": "open"})
    alert = Alert.objects.get(kind=breakers.ALERT)
    assert alert.subject == str(breaker) and "10 of 10" in alert.words


# --- the one call ----------------------------------------------------------------------------------------------------


def test_only_after_half_a_minute_one_try_is_given_away(bank):
    breaker = opened(bank)
    assert breakers.take_probe(breaker) is None
    pass_seconds(31)

    epoch = breakers.take_probe(breaker)

    assert epoch == breaker.epoch + 1
    assert breakers.take_probe(breaker) is None
    breaker.refresh_from_db()
    assert breaker.state == BreakerState.HALF_OPEN
    assert breakers.take_probe(breaker) is None


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_at_once_one_gets_the_try():
    organization, _ = factories.make_desk()
    breaker = opened(Connection.objects.get(organization=organization))
    pass_seconds(31)

    given = at_once(*[lambda: breakers.take_probe(Breaker.objects.get(pk=breaker.pk))] * 8)

    assert sum(epoch is not None for epoch in given) == 1


def test_an_answer_closes_it_and_what_was_before_counts_no_more(bank):
    breaker = opened(bank)
    pass_seconds(31)
    epoch = breakers.take_probe(breaker)
    place = (bank.pk, "refund")

    breakers.judge(called(bank, "no"), {place: epoch})

    breaker.refresh_from_db()
    assert breaker.state == BreakerState.CLOSED
    assert not Alert.objects.filter(cleared_at=None).exists()
    assert judged(bank, *["503"] * 9) == BreakerState.CLOSED
    assert list(Entry.objects.filter(verb__contains=".breaker.").order_by("pk").values_list("verb", flat=True)) == [
        "integrations.breaker.opened", "integrations.breaker.probed", "integrations.breaker.closed",
    ]  # fmt: skip


def test_trouble_opens_it_for_another_half_minute(bank):
    breaker = opened(bank)
    pass_seconds(31)
    epoch = breakers.take_probe(breaker)

    breakers.judge(called(bank, "silence"), {(bank.pk, "refund"): epoch})

    breaker.refresh_from_db()
    assert breaker.state == BreakerState.OPEN
    assert breakers.take_probe(breaker) is None
    pass_seconds(31)
    assert breakers.take_probe(breaker) is not None


def test_a_try_that_called_nobody_is_given_back_at_once(bank):
    breaker = opened(bank)
    pass_seconds(31)
    epoch = breakers.take_probe(breaker)

    breakers.judge([], {(bank.pk, "refund"): epoch})

    breaker.refresh_from_db()
    assert breakers.take_probe(breaker) is not None


def test_a_try_whose_worker_died_is_given_to_another_and_its_late_answer_moves_nothing(bank):
    breaker = opened(bank)
    pass_seconds(31)
    lost = breakers.take_probe(breaker)
    pass_seconds(61)
    breaker.refresh_from_db()

    assert breakers.take_probe(breaker) == lost + 1
    breakers.judge(called(bank, "ok"), {(bank.pk, "refund"): lost})

    breaker.refresh_from_db()
    assert breaker.state == BreakerState.HALF_OPEN


# --- staff -----------------------------------------------------------------------------------------------------------


def test_staff_holds_it_open_and_no_call_finds_out(bank, cast_of):
    breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason="They refund twice.")
    pass_seconds(3600)

    breaker = Breaker.objects.get()
    assert (breaker.state, breaker.forced) == (BreakerState.OPEN, True)
    assert breakers.take_probe(breaker) is None
    assert "held by staff: They refund twice." in holds.current()[0].words
    entry = Entry.objects.get(verb="integrations.breaker.forced_open")
    assert (entry.user, entry.reason) == (cast_of.tomasz, "They refund twice.")


def test_staff_holds_it_closed_however_calls_fail(bank, cast_of):
    opened(bank)
    breakers.force_closed(bank.pk, "refund", by=cast_of.tomasz, reason="The status page is wrong.")

    assert judged(bank, *["503"] * 30) == BreakerState.CLOSED
    assert holds.current() == []


def test_let_go_it_is_tried_at_once(bank, cast_of):
    breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason="They refund twice.")
    breakers.release(bank.pk, "refund", by=cast_of.tomasz, reason="Fixed.")

    assert breakers.take_probe(Breaker.objects.get()) is not None


def test_staff_takes_over_from_a_call_under_way(bank, cast_of):
    breaker = opened(bank)
    pass_seconds(31)
    epoch = breakers.take_probe(breaker)
    breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason="Wait for their call.")

    breakers.judge(called(bank, "ok"), {(bank.pk, "refund"): epoch})

    assert (Breaker.objects.get().state, Breaker.objects.get().forced) == (BreakerState.OPEN, True)


def test_without_a_reason_or_twice_nothing_is_switched(bank, cast_of):
    with pytest.raises(ReasonMissing):
        breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason=" ")
    with pytest.raises(NothingToSwitch):
        breakers.release(bank.pk, "refund", by=cast_of.tomasz, reason="Why not.")
    breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason="They refund twice.")
    with pytest.raises(NothingToSwitch):
        breakers.force_open(bank.pk, "refund", by=cast_of.tomasz, reason="Once more.")

    assert Entry.objects.filter(verb__contains=".breaker.").count() == 1


@pytest.fixture
def cast_of(bank):
    from accounts.models import User

    return factories.Cast(**{name: User.objects.get(username=name) for name in factories.NAMES})


# --- rows that break the rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"state": "ajar"}, "integrations_breaker_known_state"),
        ({"state": "open", "reason": "x"}, "integrations_breaker_open_says_why"),
        ({"state": "open", "probe_at": Now()}, "integrations_breaker_open_says_why"),
        ({"probe_at": Now()}, "integrations_breaker_open_probes_unless_forced"),
        ({"state": "half_open", "reason": "x"}, "integrations_breaker_"),
        ({"probe_until": Now()}, "integrations_breaker_probe_until_iff_half_open"),
    ],
)
def test_the_database_refuses_what_the_table_does_not_know(bank, fields, rule):
    with pytest.raises(IntegrityError, match=rule):
        Breaker.objects.create(connection=bank, operation="refund", **fields)


# --- the line behind it ----------------------------------------------------------------------------------------------


def planned(line: Line, count: int) -> list[Action]:
    for _ in range(count):
        line.ask("20.00")
    while tick():
        pass
    return list(Action.objects.order_by("pk"))


def posts(line: Line) -> int:
    return len([row for row in line.gateway.requests() if row["method"] == "POST" and row["path"] == REFUNDS])


def test_while_it_is_open_actions_queue_with_the_reason_and_are_drained_by_priority(line: Line):
    actions = planned(line, 4)
    opened(line.connection)
    line.work()
    assert posts(line) == 0

    run = Run.objects.get(pk=actions[0].run_id)
    assert (run.state, run.waits_for, run.waits_on) == (RunState.WAITING, WaitsFor.CONNECTION, "gateway/refund")
    assert run.reason.startswith("Gateway is in trouble: 10 of 10 calls failed")
    assert Action.objects.get(pk=actions[0].pk).message == run.reason
    assert run.case.standing.startswith("Gateway is in trouble")
    line.assert_sound()
    for priority, action in zip([40, 30, 20, 10], actions, strict=True):
        Run.objects.filter(pk=action.run_id).update(priority=priority)
    pass_seconds(31)
    sending.send_due(limit=1)  # the one that finds out
    sending.send_due(limit=1)
    sending.send_due(limit=1)
    order = [effect["idempotency_key"] for effect in line.refunds()]
    assert order == [str(action.key) for action in reversed(actions)][:3]
    line.work()

    assert set(Action.objects.values_list("state", flat=True)) == {ActionState.VERIFIED}
    assert len(line.refunds()) == 4
    line.assert_sound()


def test_an_outage_wears_out_no_single_action(line: Line):
    planned(line, 6)
    opened(line.connection)
    line.gateway.fault("503", method="POST", path=REFUNDS, times=5)

    for _ in range(5):
        pass_seconds(31)
        due_now(Action.objects.all())
        line.work()

    assert posts(line) == 5
    assert sorted(Action.objects.values_list("attempts", flat=True)) == [0, 1, 1, 1, 1, 1]


def test_a_run_that_must_read_waits_for_the_connection_and_one_of_them_finds_out(line: Line):
    cases = [line.ask("20.00") for _ in range(3)]
    opened(line.connection, READ)
    line.work()

    runs = list(Run.objects.order_by("pk"))
    assert {(run.state, run.waits_for, run.waits_on) for run in runs} == {
        (RunState.WAITING, WaitsFor.CONNECTION, "gateway/read")
    }
    assert all(run.reason.startswith("Gateway is in trouble") and run.attempt == 0 for run in runs)
    assert not StepRun.objects.filter(outcome="failed").exists()
    before = len(line.gateway.requests())
    Run.objects.filter(pk=runs[2].pk).update(priority=10)
    line.gateway.fault("503", method="GET", path="/v1/payment_intents", times=1)
    pass_seconds(31)
    sending.send_due()  # wakes the most urgent
    line.work()
    assert len(line.gateway.requests()) == before + 1
    assert Run.objects.get(pk=runs[2].pk).attempt == 1
    pass_seconds(31)
    sending.send_due()
    line.work()

    assert {case.state for case in type(cases[0]).objects.all()} <= {CaseState.DONE, CaseState.OPEN}
    line.let_pass(minutes=6)
    assert {case.state for case in type(cases[0]).objects.all()} == {CaseState.DONE}
    line.assert_sound()


def test_other_connections_go_on(line: Line):
    opened(line.connection)
    other = factories.make_connection(
        line.organization, "bank", base_url=line.gateway.url, secret=encrypt(line.gateway.api_key)
    )
    [action] = planned(line, 1)
    payment = action.payment
    payment.connection = other
    payment.save(update_fields=["connection"])
    with pgtrigger.ignore("integrations.Action:intent_never_changed"):
        Action.objects.filter(pk=action.pk).update(connection=other)

    line.work()

    assert Action.objects.get().state == ActionState.VERIFIED


def test_where_breakers_cannot_be_read_calls_go_out(line: Line, monkeypatch):
    planned(line, 1)
    opened(line.connection)
    read = holds._read

    def broken(*, with_breakers: bool):
        if with_breakers:
            raise DatabaseError("permission denied for table integrations_breaker")
        return read(with_breakers=False)

    monkeypatch.setattr(holds, "_read", broken)
    line.work()

    assert Action.objects.get().state == ActionState.VERIFIED


def test_retry_after_keeps_all_calls_of_the_operation_away(line: Line):
    planned(line, 3)
    line.gateway.fault("429=40", method="POST", path=REFUNDS)
    sending.send_due(limit=1)
    assert posts(line) == 1

    line.work()
    line.let_pass(seconds=30)
    assert posts(line) == 1
    assert Run.objects.filter(reason__startswith="Gateway asked us to stay away until").count() == 2
    line.let_pass(seconds=75)

    assert set(Action.objects.values_list("state", flat=True)) == {ActionState.VERIFIED}


def test_at_the_moment_it_was_told_of_nothing_is_held_any_more(bank):
    [busy] = called(bank, "busy")
    busy.told = timedelta(seconds=5)
    breakers.judge([busy], {})

    [hold] = holds.current()
    assert hold.kind == HoldKind.QUIET
    assert hold.until is not None and hold.until > clock.now() - timedelta(seconds=1)
    pass_seconds(6)
    assert holds.current() == []
