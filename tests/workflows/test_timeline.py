"""The stages of a run: what belongs to which, and where it is drawn."""

from datetime import timedelta

import pytest

from integrations.states import ActionState
from opsdesk.lib import clock
from tests import factories
from workflows import timeline
from workflows.states import RunState


@pytest.fixture
def run(organization):
    """A run that began an hour ago, two seconds after its request arrived."""
    run = factories.make_run(factories.make_case(organization), state=RunState.WAITING)
    start = clock.now() - timedelta(hours=1)
    factories.at(factories.make_event(organization, state="processed", case=run.case), received_at=start)
    return factories.at(run, started_at=start + timedelta(seconds=2))


def step(run, seconds, key, kind, outcome="done", *, note=""):
    """An attempt so many seconds after the run began."""
    row = factories.make_step_run(run, key, kind, outcome, note=note)
    return factories.at(row, at=run.started_at + timedelta(seconds=seconds))


def stages(run, *actions):
    return timeline.stages_of(run, list(run.steps.all()), actions, clock.now())


def test_each_kind_of_step_belongs_to_its_stage(run):
    step(run, 1, "understand", "gather", note="14 facts")
    step(run, 2, "decide", "decide", note="Full review.")
    step(run, 3, "approve", "approve", "waiting", note="Waits for Ada.")

    found = stages(run)

    assert found["trigger"].took == "2.0 s"
    assert (found["understand"].took, found["understand"].text) == ("1.0 s", "14 facts")
    assert found["decide"].text == "Waits for Ada."
    assert [span.tone for span in found["decide"].spans] == ["work", "work", "wait"]
    assert found["act"].spans == found["verify"].spans == []


def test_waiting_for_people_counts_to_the_decision(run):
    step(run, 1, "approve", "approve", "waiting")
    step(run, 1861, "approve", "approve", "done", note="Approved.")

    decide = stages(run)["decide"]

    assert decide.took == "31 min"
    assert [span.tone for span in decide.spans] == ["work", "wait", "work"]


def test_a_failed_try_is_drawn_as_such_and_its_repair_is_waited_for(run):
    step(run, 1, "decide", "decide", "failed", note="The request has no amount.")

    decide = stages(run)["decide"]

    assert [span.tone for span in decide.spans] == ["bad", "wait"]


def test_sending_and_verifying_are_told_by_the_action(run):
    at = run.started_at
    action = factories.make_action(
        run,
        state=ActionState.VERIFIED,
        first_sent_at=at + timedelta(seconds=2),
        succeeded_at=at + timedelta(seconds=3),
        verified_at=at + timedelta(seconds=5),
        message="Read back from the gateway.",
    )
    factories.at(action, created_at=at + timedelta(seconds=1))
    step(run, 1, "refund", "act", "waiting")
    step(run, 6, "refund", "act", "done")

    found = stages(run, action)

    assert [span.tone for span in found["act"].spans] == ["wait", "work"]
    assert found["act"].text == "£141.48: verified"
    assert (found["verify"].took, found["verify"].text) == ("2.0 s", "Read back from the gateway.")


def test_money_that_is_not_certain_is_still_being_waited_for(run):
    action = factories.make_action(run, state=ActionState.UNKNOWN)

    found = stages(run, action)

    assert [span.tone for span in found["act"].spans] == ["wait", "wait"]
    assert found["verify"].spans == []


def test_long_waits_are_cut_and_said_to_be(run):
    step(run, 1, "understand", "gather")
    step(run, 2, "approve", "approve", "waiting")

    drawn = timeline.draw(stages(run))

    bars = [bar for row in drawn.rows for bar in row.bars]
    assert drawn.cut
    assert min(bar.width for bar in bars) >= 4
    assert max(bar.x + bar.width for bar in bars) <= timeline.WIDTH + 4
    # An hour of waiting does not leave the second of work invisible.
    assert next(row for row in drawn.rows if row.name == "Understand").bars[0].width > 40


def test_short_runs_are_drawn_to_scale(run):
    factories.at(run, state=RunState.SUCCEEDED, ended_at=run.started_at + timedelta(seconds=4), waits_for="", reason="")
    step(run, 2, "understand", "gather")
    step(run, 4, "decide", "decide")

    drawn = timeline.draw(stages(run))

    widths = [row.bars[0].width for row in drawn.rows if row.bars]
    assert not drawn.cut
    assert max(widths) - min(widths) < 1


def test_words_find_room_beside_their_bars(run):
    step(run, 1, "understand", "gather", note="x" * 300)
    step(run, 3599, "decide", "decide", note="y" * 300)

    rows = {row.name: row for row in timeline.draw(stages(run)).rows}

    assert (rows["Understand"].anchor, rows["Decide"].anchor) == ("start", "end")
    assert all(row.text.endswith("…") for row in (rows["Understand"], rows["Decide"]))


def test_a_run_that_has_not_begun_can_be_drawn(organization):
    run = factories.make_run(factories.make_case(organization))

    drawn = timeline.draw(stages(run))

    assert [row.name for row in drawn.rows] == ["Trigger", "Understand", "Decide", "Act", "Verify"]
    assert [bool(row.bars) for row in drawn.rows] == [True, False, False, False, False]
