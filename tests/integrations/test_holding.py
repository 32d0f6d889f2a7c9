"""Kill switches and maintenance windows: work waits with the reason, and goes on when they end."""

from datetime import timedelta

import pytest
from django.db import IntegrityError

from auditlog.models import Entry
from integrations import holds, switches, windows
from integrations.holds import READ
from integrations.models import Action, Connection, MaintenanceWindow, OperationSwitch
from integrations.reasons import NothingToSwitch, ReasonMissing
from integrations.sending import send_due
from integrations.states import ActionState, HoldKind
from opsdesk.lib import clock
from tests.plugins.line import Line, pass_time
from workflows.models import Case, Run
from workflows.states import CaseState, RunState, WaitsFor
from workflows.tasks import tick

REFUNDS = "/v1/refunds"


def planned(line: Line) -> Action:
    line.ask("20.00")
    while tick():
        pass
    return Action.objects.get()


def posts(line: Line) -> int:
    return len([row for row in line.gateway.requests() if row["method"] == "POST" and row["path"] == REFUNDS])


def window(line: Line, *, starts: float = -1, ends: float = 60) -> MaintenanceWindow:
    """Maintenance from and to so many minutes from now."""
    return MaintenanceWindow.objects.create(
        connection=line.connection,
        starts_at=clock.now() + timedelta(minutes=starts),
        ends_at=clock.now() + timedelta(minutes=ends),
        reason="They move house.",
    )


# --- one operation ---------------------------------------------------------------------------------------------------


def test_an_operation_that_is_switched_off_waits_says_why_and_goes_out_afterwards(line: Line):
    action = planned(line)
    switches.switch_operation(line.connection.pk, "refund", on=False, by=line.cast.tomasz, reason="Month end.")

    line.work()
    run = Run.objects.get()
    assert posts(line) == 0
    assert (run.state, run.waits_for) == (RunState.WAITING, WaitsFor.CONNECTION)
    assert run.reason == "Refund through Gateway was switched off by Tomasz Kowal: Month end."
    line.assert_sound()
    switches.switch_operation(line.connection.pk, "refund", on=True, by=line.cast.tomasz, reason="It is over.")
    line.work()

    assert Action.objects.get(pk=action.pk).state == ActionState.VERIFIED
    line.assert_sound()


def test_the_switch_is_read_where_the_work_is_taken(line: Line, monkeypatch):
    """Switched off after the holds were read: the claiming transaction itself finds it."""
    planned(line)
    monkeypatch.setattr("integrations.claiming.current", list)
    switches.switch_operation(line.connection.pk, "refund", on=False, by=line.cast.tomasz, reason="Month end.")

    send_due()

    assert posts(line) == 0


def test_reading_and_reading_back_go_on_behind_it(line: Line):
    line.gateway.fault("lost_before", method="GET", path=REFUNDS)
    planned(line)
    send_due()
    assert Action.objects.get().state == ActionState.SUCCEEDED
    switches.switch_operation(line.connection.pk, "refund", on=False, by=line.cast.tomasz, reason="Month end.")

    line.let_pass(minutes=1)
    other = line.ask("20.00")
    tick()

    assert Action.objects.order_by("pk").first().state == ActionState.VERIFIED
    assert Run.objects.get(case=other).facts


def test_nothing_new_is_planned_behind_it(line: Line):
    switches.switch_operation(line.connection.pk, "refund", on=False, by=line.cast.tomasz, reason="Month end.")
    line.ask("20.00")

    line.work()

    assert not Action.objects.exists()
    run = Run.objects.get()
    assert (run.waits_for, run.waits_on) == (WaitsFor.CONNECTION, "gateway/refund")
    assert run.reason.endswith("was switched off by Tomasz Kowal: Month end.")
    switches.switch_operation(line.connection.pk, "refund", on=True, by=line.cast.tomasz, reason="It is over.")
    line.work()
    assert Case.objects.get().state == CaseState.DONE


def test_switches_want_a_reason_and_a_change(line: Line):
    off = {"on": False, "by": line.cast.tomasz}
    with pytest.raises(ReasonMissing):
        switches.switch_operation(line.connection.pk, "refund", reason="", **off)
    with pytest.raises(NothingToSwitch):
        switches.switch_operation(line.connection.pk, "refund", on=True, by=line.cast.tomasz, reason="Why not.")
    switches.switch_operation(line.connection.pk, "refund", reason="Month end.", **off)
    with pytest.raises(NothingToSwitch):
        switches.switch_operation(line.connection.pk, "refund", reason="Once more.", **off)

    entry = Entry.objects.get(verb="integrations.operation.switched_off")
    assert (entry.reason, entry.after) == ("Month end.", {"operation": "refund", "sending": False})
    assert OperationSwitch.objects.count() == 1


# --- workflow and organization ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["workflow", "organization"])
def test_the_wide_switches_stop_what_is_due_and_are_written_down(line: Line, what: str):
    action = planned(line)
    switch = getattr(switches, f"switch_{what}")
    row = action.run.workflow if what == "workflow" else line.organization
    switch(row.pk, on=False, by=line.cast.tomasz, reason="Something is wrong.")

    line.work()
    assert posts(line) == 0
    with pytest.raises(NothingToSwitch):
        switch(row.pk, on=False, by=line.cast.tomasz, reason="Once more.")
    switch(row.pk, on=True, by=line.cast.tomasz, reason="It was not.")
    line.work()

    assert Action.objects.get().state == ActionState.VERIFIED
    verbs = Entry.objects.filter(verb__contains=f".{what}.switched").order_by("pk")
    assert [entry.verb.rpartition(".")[2] for entry in verbs] == ["switched_off", "switched_on"]
    assert {(entry.user, entry.organization) for entry in verbs} == {(line.cast.tomasz, line.organization)}


# --- maintenance -----------------------------------------------------------------------------------------------------


def test_maintenance_holds_reading_and_sending_and_everything_goes_out_afterwards(line: Line):
    action = planned(line)
    window(line)
    case = line.ask("30.00")

    line.work()
    assert posts(line) == 0
    runs = {run.case_id: run for run in Run.objects.all()}
    for run in runs.values():
        assert (run.state, run.waits_for, run.attempt) == (RunState.WAITING, WaitsFor.CONNECTION, 0)
        assert run.reason.startswith("Gateway is under maintenance until ")
        assert run.reason.endswith("They move house.")
    assert runs[case.pk].waits_on == f"gateway/{READ}"
    assert Action.objects.get(pk=action.pk).attempts == 0
    line.let_pass(minutes=61)

    assert set(Case.objects.values_list("state", flat=True)) == {CaseState.DONE}
    line.assert_sound()


def test_maintenance_that_has_not_begun_or_is_over_holds_nothing(line: Line):
    window(line, starts=10)
    window(line, starts=-20, ends=-10)

    assert holds.current() == []
    pass_time(timedelta(minutes=11))
    assert [hold.kind for hold in holds.current()] == [HoldKind.WINDOW]


def test_maintenance_that_is_ended_early_lets_everything_go(line: Line):
    open_now = window(line)
    line.ask("20.00")
    line.work()
    windows.end_early(open_now.pk, by=line.cast.tomasz, reason="They are ready.")

    line.work()

    assert Case.objects.get().state == CaseState.DONE
    entry = Entry.objects.get(verb="integrations.window.ended")
    assert (entry.user, entry.reason) == (line.cast.tomasz, "They are ready.")
    with pytest.raises(NothingToSwitch):
        windows.end_early(open_now.pk, by=line.cast.tomasz, reason="Once more.")


def test_news_that_came_during_maintenance_is_read_afterwards(line: Line):
    action = planned(line)
    line.work()
    window(line)
    refund = line.gateway.refund_in_the_dashboard(action.payment.reference, 500)
    line.news("refund.created", refund)
    before = len(line.gateway.requests())

    line.let_pass(minutes=1)
    assert len(line.gateway.requests()) == before
    line.let_pass(minutes=61)

    payment = Action.objects.get().payment
    assert payment.refunded_minor == 2500


@pytest.mark.parametrize(
    ("fields", "rule"),
    [({"ends": -5}, "integrations_window_ends_after_it_starts"), ({}, "integrations_window_says_why")],
)
def test_the_database_refuses_a_window_without_length_or_reason(line: Line, fields, rule):
    made = window(line)
    with pytest.raises(IntegrityError, match=rule):
        if fields:
            window(line, **fields)
        else:
            MaintenanceWindow.objects.filter(pk=made.pk).update(reason="")


def test_holds_of_another_connection_hold_nothing_here(line: Line):
    other = Connection.objects.get(organization=line.organization, slug="shop")
    MaintenanceWindow.objects.create(
        connection=other, starts_at=clock.now(), ends_at=clock.now() + timedelta(hours=1), reason="Moving."
    )

    line.ask("20.00")
    line.work()

    assert Case.objects.get().state == CaseState.DONE
