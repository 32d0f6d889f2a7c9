"""Taking events in: each opens a case, tells somebody, withdraws a case, or is set aside with a reason."""

import json
from functools import partial

import pytest

from auditlog.models import Entry
from opsdesk.lib import clock
from tests.factories import at, make_case, make_event
from tests.races import at_once, round_by_round
from tests.workflows.conftest import Probe
from workflows import registry
from workflows.engine.intake import LEFT_TO_OTHERS, take_in
from workflows.engine.outcomes import Wait
from workflows.engine.running import advance, claim
from workflows.models import Case, Event, Run
from workflows.registry import Reading
from workflows.states import CaseState, EventState, RunState, WaitsFor


def say(probe: Probe, kind: str = "probe.requested", **data) -> Event:
    """An event of the probe's shop."""
    said = {"reference": "C1", "amount": "12.50", "currency": "GBP", **data}
    body = json.dumps({"type": kind, "data": {name: value for name, value in said.items() if value is not None}})
    return make_event(probe.organization, body.encode())


def outcome(event: Event) -> tuple[str, str]:
    event.refresh_from_db()
    return event.state, event.reason


def test_a_request_opens_a_case_and_starts_its_run(probe: Probe):
    event = say(probe)

    assert take_in() == 1

    case = Case.objects.get()
    run = Run.objects.get()
    assert (case.key, case.amount_minor, case.currency, case.state) == ("C1", 1250, "GBP", CaseState.OPEN)
    assert (run.case, run.version, run.state) == (case, probe.version, RunState.READY)
    assert outcome(event) == (EventState.PROCESSED, "Opened a case.")
    assert (event.case, event.type) == (case, "probe.requested")
    [entry] = Entry.objects.filter(verb="workflows.case.opened")
    assert (entry.subject_id, entry.case_id, entry.actor) == (case.pk, case.pk, "probes/shop")
    assert take_in() == 0


def test_a_type_nobody_subscribed_to_is_ignored_with_the_reason(probe: Probe):
    event = say(probe, "weather.changed")

    take_in()

    assert outcome(event) == (EventState.IGNORED, "Nothing is subscribed to “weather.changed”.")
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The body is not JSON"),
        (b"[]", "The body is JSON, but not an object."),
        (b'{"type": "probe.requested"}', "The event has no data object."),
        (b'{"type": "probe.requested", "data": {"amount": NaN}}', "The body has NaN, which is not JSON."),
        (b'{"type": "probe.requested", "data": {"a": 1, "a": 2}}', "The body names 'a' twice in one object."),
        (b'{"type": "probe.requested", "data": {"a": "\\u0000"}}', "A text has a NUL"),
        (b"[" * 100_000, "The body is nested deeper than 20 levels."),
    ],
)
def test_what_cannot_be_read_is_quarantined_with_the_reason(probe: Probe, body, reason):
    odd, sound = make_event(probe.organization, body), say(probe)

    assert take_in() == 2

    assert odd.state != outcome(odd)[0] == EventState.QUARANTINED
    assert odd.reason.startswith(reason)
    assert outcome(sound)[0] == EventState.PROCESSED


def test_an_event_whose_reader_is_gone_is_quarantined_alone(probe: Probe):
    odd, sound = say(probe, reference="C0"), say(probe)
    at(odd, reader="fax", received_at=clock.now() - LEFT_TO_OTHERS)

    take_in()

    assert outcome(odd) == (EventState.QUARANTINED, "The desk could not take it in: 'fax'")
    assert outcome(sound)[0] == EventState.PROCESSED


def test_a_listener_that_raises_spoils_its_own_event_only(probe: Probe, monkeypatch):
    def stumble(event: Event, reading: Reading) -> str:
        raise RuntimeError("Stumbled.")

    monkeypatch.setitem(registry.news, "shop.closed", stumble)
    odd, sound = say(probe, "shop.closed"), say(probe)

    take_in()

    assert outcome(odd) == (EventState.QUARANTINED, "The desk could not take it in: Stumbled.")
    assert outcome(sound)[0] == EventState.PROCESSED


@pytest.mark.parametrize("together", [True, False])
def test_the_same_request_again_is_nothing_new(probe: Probe, together):
    say(probe)
    if not together:
        take_in()
    again = say(probe)

    take_in()

    assert outcome(again) == (EventState.PROCESSED, "The case was already open; nothing new.")
    assert again.case == Case.objects.get()
    assert Run.objects.count() == 1


@pytest.mark.parametrize("together", [True, False])
def test_the_same_reference_with_other_content_is_not_taken_over_and_said_so(probe: Probe, together):
    say(probe)
    if not together:
        take_in()
    other = say(probe, amount="99.00")

    take_in()

    case = Case.objects.get()
    assert case.amount_minor == 1250
    assert outcome(other)[0] == EventState.IGNORED
    assert "exists with other content" in other.reason
    assert "None" not in other.reason
    assert other.case == case
    [entry] = Entry.objects.filter(verb="workflows.case.contradicted")
    assert (entry.subject_id, entry.after) == (case.pk, {"event": other.pk})


@pytest.mark.parametrize("together", [True, False])
def test_a_withdrawal_closes_its_case(probe: Probe, together):
    say(probe)
    if not together:
        take_in()
    event = say(probe, "probe.withdrawn", amount=None, currency=None)

    take_in()

    case = Case.objects.get()
    assert case.state == CaseState.CANCELED
    assert Run.objects.get().state == RunState.CANCELED
    assert outcome(event) == (EventState.PROCESSED, f"Withdrew {case}.")
    assert event.case == case


@pytest.mark.parametrize("together", [True, False])
def test_a_withdrawal_that_overtook_its_request_still_counts(probe: Probe, together):
    early = say(probe, "probe.withdrawn", amount=None, currency=None)
    if not together:
        take_in()
    late = say(probe)

    take_in()

    case = Case.objects.get()
    assert case.state == CaseState.CANCELED
    assert not Run.objects.exclude(state=RunState.CANCELED).exists()
    assert (outcome(early)[0], early.case) == (EventState.PROCESSED, case)
    outcome(late)
    assert late.case == case


def test_a_withdrawal_without_a_reference_is_ignored(probe: Probe):
    event = say(probe, "probe.withdrawn", reference=None)
    make_case(probe.organization, kind="probe", key="None")

    take_in()

    assert outcome(event) == (EventState.IGNORED, "The withdrawal names no reference.")
    assert not Case.objects.filter(state=CaseState.CANCELED).exists()


@pytest.mark.parametrize("reference", ["C1", " C1 "])
def test_a_withdrawal_finds_its_case_however_the_reference_is_padded(probe: Probe, reference):
    say(probe)
    take_in()

    say(probe, "probe.withdrawn", reference=reference)
    take_in()

    assert Case.objects.get().state == CaseState.CANCELED


def test_a_withdrawal_comes_too_late_once_the_refund_is_under_way(probe: Probe):
    say(probe)
    take_in()
    probe.second(lambda context: Wait(WaitsFor.ACTION, "Being sent."))
    advance(claim())

    event = say(probe, "probe.withdrawn")
    take_in()

    case = Case.objects.get()
    assert case.state == CaseState.OPEN
    assert outcome(event) == (EventState.IGNORED, f"{case} is already closed, or its refund is under way.")


def test_a_request_without_a_reference_gets_one_of_its_own(probe: Probe):
    first, second = say(probe, reference=None), say(probe, reference=None)

    take_in()

    assert set(Case.objects.values_list("key", flat=True)) == {f"event-{first.pk}", f"event-{second.pk}"}
    assert all(case.problems for case in Case.objects.all())


def test_long_references_that_begin_alike_stay_two_cases(probe: Probe):
    events = [say(probe, reference="C" * 120 + ending) for ending in "ab"]

    take_in()

    assert Case.objects.count() == 2
    assert [outcome(event)[0] for event in events] == [EventState.PROCESSED] * 2
    assert all("reference is longer than 100 characters." in case.problems for case in Case.objects.all())


def test_organizations_do_not_share_references(probe: Probe):
    make_case(probe.organization, kind="other", key="C1")
    say(probe)

    take_in()

    assert Case.objects.filter(key="C1").count() == 2


def test_a_disabled_workflow_keeps_its_cases_and_waits(probe: Probe):
    probe.version.workflow.enabled = False
    probe.version.workflow.save(update_fields=["enabled"])
    say(probe)

    take_in()

    assert Run.objects.get().state == RunState.READY
    assert claim() == []


def test_workers_that_take_in_at_once_open_each_case_once(committed_probe: Probe):
    for number in range(60):
        say(committed_probe, reference=f"C{number % 20}")

    def take_all() -> int:
        taken = 0
        while found := take_in(limit=7):
            taken += found
        return taken

    shares = at_once(*[take_all] * 4)

    assert sum(shares) == 60
    assert Case.objects.count() == Run.objects.count() == 20
    assert not Event.objects.exclude(state=EventState.PROCESSED).exists()


def test_copies_taken_in_at_the_same_moment_open_one_case(committed_probe: Probe):
    """The index decides, not the query: both workers see no case, one of them is told so by the database."""
    rounds = 40
    for number in range(rounds):
        for _ in range(2):
            say(committed_probe, reference=f"C{number}")

    results = round_by_round([lambda _: take_in(limit=1)] * 2, rounds)

    assert all(taken == [1, 1] for taken in results)
    assert Case.objects.count() == Run.objects.count() == rounds
    states = set(Event.objects.values_list("state", flat=True))
    assert states == {EventState.PROCESSED}


def test_withdrawals_in_any_order_at_once_hold_up_nobody(committed_probe: Probe):
    """Two workers lock the same cases in opposite orders; whoever loses is looked at again, not lost."""
    names = [f"C{number}" for number in range(6)]
    for name in names:
        case = make_case(committed_probe.organization, kind="probe", key=name)
        committed_probe.run(case)
    for _ in range(5):
        for name in names:
            say(committed_probe, "probe.withdrawn", reference=name)
        for name in reversed(names):
            say(committed_probe, "probe.withdrawn", reference=name)

    def take_all() -> None:
        while take_in(limit=len(names)):
            pass

    assert at_once(*[partial(take_all)] * 2) == [None, None]

    assert set(Case.objects.values_list("state", flat=True)) == {CaseState.CANCELED}
    assert not Event.objects.filter(state=EventState.RECEIVED).exists()
    assert not Event.objects.filter(state=EventState.QUARANTINED).exists()
