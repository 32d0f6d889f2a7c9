"""The condition of a step, its `when`: whether the step is left out for the facts a run has gathered.

A step is left out only where its condition is known not to hold. What cannot be known leaves nothing out; a step
that moves money then stops the run for a person. Steps that decide and that ask for consent carry no condition.
"""

from collections.abc import Mapping
from typing import Any

from workflows import registry, rules
from workflows.engine.definitions import StepDefinition
from workflows.errors import StepFailed
from workflows.states import FailureKind


def is_left_out(step: StepDefinition, facts: Mapping[str, Any]) -> bool:
    """Whether the step has a condition that is known not to hold."""
    return bool(step.when) and rules.hold(step.when, step.match, facts) is False


def why_left_out(step: StepDefinition, facts: Mapping[str, Any]) -> str:
    """Why the step is left out, with its condition in words; "" when it is to be done.

    Raises StepFailed (data) where the step moves money and nobody can know whether it should.
    """
    if not step.when:
        return ""
    holds = rules.hold(step.when, step.match, facts)
    if holds is None and registry.moves_money(step.kind, step.config):
        unknown = ", ".join(rules.unknown(step.when, facts))
        only = rules.in_words(step.when, step.match)
        raise StepFailed(FailureKind.DATA, f"Only done when {only}; that cannot be known without {unknown}.")
    return f"Only done when {rules.in_words(step.when, step.match)}." if holds is False else ""
