"""The step kind `recall`: facts about the action that a reversal names."""

from collections.abc import Mapping, Sequence
from typing import Any

from integrations.reversing import services
from integrations.reversing.facts import facts_of
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome
from workflows.errors import StepFailed
from workflows.states import FailureKind


class Recall:
    """Reads what is to be taken back, and whether it still can be."""

    name = "recall"
    asks_outside = False
    moves_money = False
    starts_over = False

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Nothing to set: the case names its original."""
        return [f"recall has no setting “{name}”." for name in config]

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """The desk's own rows say it."""

    def perform(self, context: RunContext) -> Outcome:
        """Store the facts on the run. Raises StepFailed (data) for a case that names no original."""
        reversal = services.of_case(context.case)
        if reversal is None:
            raise StepFailed(FailureKind.DATA, "This case takes nothing back: it names no action.")
        reversal.case = context.case
        context.run.facts = facts_of(reversal)
        text = f"{len(context.run.facts)} facts about the {reversal.original.what} of {reversal.original.case}"
        context.record("workflows.run.gathered", subject=context.run, reason=f"Gathered {text}.")
        return Done(text)
