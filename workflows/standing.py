"""Where a run stands, in words: why, for whom or what, since when, and what happens next. Nothing is silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from workflows import registry
from workflows.engine.definitions import definition_of
from workflows.models import Run
from workflows.registry import Awaited
from workflows.states import RunState, WaitsFor

_WHOM = {
    WaitsFor.REVIEW: "its review",
    WaitsFor.ACTION: "the outside system's answer",
    WaitsFor.RETRY: "the next try",
    WaitsFor.CONNECTION: "the connection to be back",
    WaitsFor.TURN: "the run before it to end",
    WaitsFor.UPGRADE: "a worker of a newer release",
    WaitsFor.TIME: "its time to come",
    WaitsFor.FACT: "what it waits for to be known",
    WaitsFor.EVENT: "its event to arrive",
    WaitsFor.WORKFLOW: "the run it began",
}
# What the desk does by itself once it has come.
_AFTER = {
    WaitsFor.REVIEW: "Goes on as soon as it is decided",
    WaitsFor.ACTION: "Goes on as soon as the answer is verified",
    WaitsFor.RETRY: "The step {step} is tried again",
    WaitsFor.CONNECTION: "The step {step} is tried again",
    WaitsFor.TURN: "Goes on when its turn comes",
    WaitsFor.UPGRADE: "The step {step} is done by the first worker that knows it",
    WaitsFor.TIME: "Goes on by itself at that time",
    WaitsFor.FACT: "Goes on as soon as it holds",
    WaitsFor.EVENT: "Goes on as soon as it arrives",
    WaitsFor.WORKFLOW: "Goes on as soon as the other case is done",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One run's standing: sentences, and moments where there are some. `next_at` is when the desk looks again."""

    why: str
    whom: str
    since: datetime | None
    next: str
    next_at: datetime | None = None


def standing_of(run: Run) -> Standing | None:
    """The standing of a run that has not ended well; None for one that has."""
    return standings_of([run])[0]


def standings_of(runs: Sequence[Run]) -> list[Standing | None]:
    """The same of many, in their order.

    Reads `run.workflow` and `run.organization`, and the version from the process. Runs `with_recovery` know about it.
    """
    known: dict[int, Awaited] = {}
    for waits_for, tells in registry.awaited.items():
        waiting = [run.pk for run in runs if (run.state, run.waits_for) == (RunState.WAITING, waits_for)]
        known |= tells(waiting) if waiting else {}
    return [_standing(run, known.get(run.pk)) for run in runs]


def _standing(run: Run, awaited: Awaited | None) -> Standing | None:
    if run.state in (RunState.SUCCEEDED, RunState.CANCELED):
        return None
    step, following = _steps(run)
    if run.state == RunState.FAILED:
        return Standing(
            run.reason, "somebody who repairs it", run.ended_at,
            f"Nothing by itself: the step {step} is tried again, skipped, or the run canceled by a person.",
        )  # fmt: skip
    if run.paused_at is not None:
        meanwhile = f" Meanwhile: {run.reason}" if run.reason else ""
        why = f"Paused by {run.paused_why}.{meanwhile}".replace("..", ".")
        return Standing(
            why, "somebody who resumes it", run.paused_at, f"Goes on at the step {step} when it is resumed."
        )
    if run.state == RunState.RUNNING:
        return Standing(f"A worker is at the step {step}.", "the worker", None, following, run.lease_until)
    held = _held(run, step)
    if held is not None:
        return held
    if run.state == RunState.READY:
        return Standing(f"The step {step} is due.", "the next free worker", run.wake_at, following)
    if awaited is not None:
        next_words = f"{awaited.then}. {following}"
        return Standing(run.reason, awaited.whom, run.waiting_since, next_words, awaited.at)
    return _waiting(run, step, following)


def _held(run: Run, step: str) -> Standing | None:
    """What holds back everything of the organization or the workflow."""
    if run.recovering_since is not None:
        return Standing(
            "The organization recovers: nothing acts until what the gateways did meanwhile has been read.",
            "the people who sign the recovery", run.recovering_since, f"The step {step} follows when it has ended.",
        )  # fmt: skip
    if run.organization.acting_enabled and run.workflow.enabled:
        return None
    switched = f"The workflow {run.workflow}" if run.organization.acting_enabled else "The organization"
    return Standing(
        f"{switched} is switched off.", "an admin who switches it on", run.waiting_since or run.wake_at,
        f"The step {step} follows when it is on again.",
    )  # fmt: skip


def _waiting(run: Run, step: str, following: str) -> Standing:
    kind = WaitsFor(run.waits_for)
    after = _AFTER.get(kind, "Goes on when it has come").format(step=step)
    whom = _WHOM.get(kind, kind.label)
    return Standing(run.reason, whom, run.waiting_since, f"{after}. {following}", run.wake_at)


def _steps(run: Run) -> tuple[str, str]:
    """The key of the step a run stands at, and what comes after it in a sentence."""
    steps = definition_of(run.version_id).steps
    place = min(run.position, len(steps) - 1)
    later = steps[place + 1 :]
    return steps[place].key, f"Then comes the step {later[0].key}." if later else "Then the case is done."
