"""Which controls fit a run as it stands: the one table for buttons, previews and the controls themselves.

Each function gives, in a sentence, why its control does not fit; "" when it does.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property

from workflows import registry
from workflows.engine.definitions import StepDefinition, definition_of
from workflows.models import Run
from workflows.states import CASE_FINAL, CaseState, RunState, WaitsFor

# Consent, and what decides how much of it is needed, is left out by nobody.
NEVER_SKIPPED = frozenset({"approve", "decide"})
_TRIED_AGAIN = (WaitsFor.RETRY, WaitsFor.CONNECTION)
_ENDED = frozenset({RunState.SUCCEEDED, RunState.CANCELED})
STANDS = "Something that was done for it outside stands, or may: settle that first."
UNDER_WAY = "What it does outside is under way: wait for the answer."


class Effects:
    """Which of some cases have something done outside that stands, or may: asked once, when first needed."""

    def __init__(self, case_ids: Collection[int]) -> None:
        self._case_ids = case_ids

    @cached_property
    def standing(self) -> set[int]:
        """The ids of those cases."""
        return registry.standing_among(self._case_ids)


class Looked:
    """A run that is being looked at, alone or among others."""

    def __init__(self, run: Run, effects: Effects | None = None) -> None:
        self.run = run
        self._effects = effects

    @cached_property
    def stands(self) -> bool:
        """Whether something done outside for its case stands, or may."""
        case_id = self.run.case_id
        return registry.stands(case_id) if self._effects is None else case_id in self._effects.standing


def step_of(run: Run) -> StepDefinition:
    """The step a run stands at; the last one when all are behind it."""
    steps = definition_of(run.version_id).steps
    return steps[min(run.position, len(steps) - 1)]


def ended(run: Run) -> str:
    """That the run, or its case, has come to its end; "" while it has not. A failed run has not: it can be repaired."""
    if run.state not in _ENDED and run.case.state in CASE_FINAL:
        return "Its case is closed."
    return f"It has ended: {run.get_state_display().lower()}." if run.state in _ENDED else ""


def _pause(looked: Looked) -> str:
    run = looked.run
    if run.paused_at is not None:
        return "It is paused already."
    return "It is stopped already." if run.state == RunState.FAILED else ended(run)


def _resume(looked: Looked) -> str:
    return "" if looked.run.paused_at is not None else "It is not paused."


def _cancel(looked: Looked) -> str:
    run = looked.run
    if ended(run):
        return ended(run)
    if run.acts:
        return UNDER_WAY
    return STANDS if looked.stands else ""


def _retry(looked: Looked) -> str:
    run = looked.run
    if run.state == RunState.FAILED and run.case.state == CaseState.FAILED:
        return ""
    if run.state != RunState.WAITING or run.waits_for not in _TRIED_AGAIN:
        return "This run has not failed: there is nothing to repair."
    if run.acts:
        return UNDER_WAY
    return "It is paused: let it go on first." if run.paused_at is not None else ""


def _restart(looked: Looked) -> str:
    run = looked.run
    if ended(run):
        return ended(run)
    return STANDS if run.acts or looked.stands else ""


def _skip(looked: Looked) -> str:
    run = looked.run
    if ended(run):
        return ended(run)
    if run.state == RunState.RUNNING:
        return "A worker is at it at this moment: pause it first."
    if run.acts:
        return UNDER_WAY
    definition = definition_of(run.version_id)
    if run.position >= len(definition.steps):
        return "No step is left."
    return _why_never(definition.steps[run.position])


def _why_never(step: StepDefinition) -> str:
    """Why nobody may leave this step out."""
    if step.kind in NEVER_SKIPPED:
        return f"The step {step.key} is never skipped: consent is given by those who may give it."
    if step.kind not in registry.step_kinds:
        return f"This release does not know what the step {step.key} does."
    if registry.moves_money(step.kind, step.config):
        return f"The step {step.key} is never skipped: it moves money."
    return ""


def _prioritize(looked: Looked) -> str:
    return ended(looked.run)


CONTROLS: Mapping[str, Callable[[Looked], str]] = {
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "skip": _skip,
    "restart": _restart,
    "cancel": _cancel,
    "prioritize": _prioritize,
}


def why_not(control: str, looked: Looked) -> str:
    """Why a control does not fit the run; "" when it does. Reads `run.case`."""
    return CONTROLS[control](looked)


def all_why_not(run: Run) -> dict[str, str]:
    """The same for every control."""
    looked = Looked(run)
    return {control: refuses(looked) for control, refuses in CONTROLS.items()}
