"""Why a run waits: a sentence, for whom, since when, and what comes next, in every state that is no good end."""

from datetime import timedelta

import pytest

from opsdesk.lib import clock
from tests import factories
from tests.plugins.pages import text_of
from workflows.engine import controls
from workflows.models import Run
from workflows.standing import standing_of
from workflows.states import CaseState, RunState, WaitsFor

pytestmark = pytest.mark.django_db


def stood(run, **changes):
    """The standing once the row has these changes."""
    Run.objects.filter(pk=run.pk).update(**changes)
    return standing_of(Run.objects.select_related("workflow", "organization").with_recovery().get(pk=run.pk))


@pytest.fixture
def run(organization):
    return factories.make_run(factories.make_case(organization))


def waiting(waits_for, reason, **more):
    return {
        "state": RunState.WAITING, "waits_for": waits_for, "reason": reason, "wake_at": None,
        "waiting_since": clock.now(), **more,
    }  # fmt: skip


def test_a_run_that_is_due_waits_for_a_worker(run):
    standing = stood(run, position=1)

    assert (standing.why, standing.whom) == ("The step decide is due.", "the next free worker")
    assert standing.next == "Then comes the step approve."
    assert standing.since is not None


@pytest.mark.parametrize("waits_for", WaitsFor.values)
def test_whatever_is_waited_for_has_a_reason_and_a_next(run, waits_for):
    standing = stood(run, position=3, **waiting(waits_for, "Because of this."))

    assert standing.why == "Because of this." and standing.whom and standing.since
    assert standing.next.endswith("Then the case is done.")


def test_the_next_look_is_named(run):
    later = clock.now() + timedelta(minutes=5)

    standing = stood(run, **waiting(WaitsFor.RETRY, "It stumbled.", wake_at=later))

    assert standing.next_at == later
    assert standing.next == "The step understand is tried again. Then comes the step decide."


def test_a_paused_run_says_who_paused_it_and_what_it_waited_for(run, cast):
    stood(run, **waiting(WaitsFor.REVIEW, "Waits for Ada."))
    controls.pause(run.pk, by=cast.maya, reason="The auditor asks")

    standing = stood(run)

    assert standing.why == "Paused by Maya Nowak: The auditor asks. Meanwhile: Waits for Ada."
    assert standing.next == "Goes on at the step understand when it is resumed."


def test_a_switched_off_workflow_says_so(run):
    run.workflow.enabled = False
    run.workflow.save(update_fields=["enabled"])

    assert stood(run).why == "The workflow Refunds is switched off."
    run.organization.acting_enabled = False
    run.organization.save(update_fields=["acting_enabled"])
    assert stood(run).why == "The organization is switched off."


def test_a_recovery_holds_everything_and_says_since_when(run):
    recovery = factories.make_recovery(run.organization)

    standing = stood(run)

    assert standing.why.startswith("The organization recovers: nothing acts")
    assert (standing.whom, standing.since) == ("the people who sign the recovery", recovery.begun_at)
    assert standing.next == "The step understand follows when it has ended."


def test_a_failed_run_does_nothing_by_itself(run):
    standing = stood(run, state=RunState.FAILED, wake_at=None, ended_at=clock.now(), reason="It has no amount.")

    assert standing.why == "It has no amount." and standing.next.startswith("Nothing by itself")


def test_a_run_that_ended_well_waits_for_nothing(run):
    assert stood(run, state=RunState.SUCCEEDED, wake_at=None, ended_at=clock.now()) is None


def test_list_and_page_say_it(organization, cast, sign_in):
    run = factories.make_run(
        factories.make_case(organization, state=CaseState.OPEN), state=RunState.WAITING, position=2
    )
    client = sign_in(cast.ada)

    assert "Waits for Ada Okafor to decide." in text_of(client.get("/runs/"))
    text = text_of(client.get(f"/runs/{run.pk}/"))
    assert "Why Waits for Ada Okafor to decide. Waits for its review Since" in text
    assert "Next Goes on as soon as it is decided. Then comes the step refund." in text
