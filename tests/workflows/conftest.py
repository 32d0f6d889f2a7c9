"""A workflow of two scripted steps, so that the engine is tried without the rooms above it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from accounts.models import Organization, User
from accounts.roles import Role
from tests.factories import make_case, make_member, make_organization
from workflows import registry
from workflows.engine.context import RunContext
from workflows.engine.outcomes import Done, Outcome
from workflows.models import Case, Run, WorkflowVersion
from workflows.publishing import publish_pack
from workflows.states import CaseState, RunState

PACK: dict[str, Any] = {
    "name": "Probe",
    "slug": "probe",
    "case_kind": "probe",
    "opened_by": "probe.requested",
    "withdrawn_by": "probe.withdrawn",
    "fields": {"key": "reference", "amount": "amount", "currency": "currency"},
    "steps": [{"key": "first", "kind": "scripted_outside"}, {"key": "second", "kind": "scripted"}],
}
Script = Callable[[RunContext], Outcome]


@dataclass
class ScriptedStep:
    """Does what the script of its key says, and is done where there is none."""

    name: str
    asks_outside: bool = False
    moves_money: bool = False
    starts_over: bool = False
    scripts: dict[str, Script] = field(default_factory=dict)
    fetches: Callable[[Sequence[RunContext]], None] = lambda contexts: None

    def check(self, config: Mapping[str, Any]) -> list[str]:
        """Anything goes."""
        return []

    def fetch(self, contexts: Sequence[RunContext]) -> None:
        """As scripted."""
        self.fetches(contexts)

    def perform(self, context: RunContext) -> Outcome:
        """As scripted."""
        return self.scripts.get(context.step.key, lambda _: Done(f"Did {context.step.key}."))(context)


@dataclass
class Probe:
    """The scripted workflow: `first` asks the outside world, `second` does not."""

    organization: Organization
    version: WorkflowVersion
    outside: ScriptedStep
    inside: ScriptedStep
    ada: User

    def publish(self, **changes: Any) -> None:
        """Put a further edition in force that differs in this; the runs made from now on follow it."""
        self.version = publish_pack(self.organization, {**PACK, **changes}, by=None, reason="For a test.")

    def second(self, script: Script) -> None:
        """What the second step does from now on."""
        self.inside.scripts["second"] = script

    def runs(self, count: int = 1, **fields: Any) -> list[Run]:
        """Runs that are due, each of a case of its own."""
        return [self.run(make_case(self.organization, **fields)) for _ in range(count)]

    def run(self, case: Case, **fields: Any) -> Run:
        """A run of a case, due unless told otherwise."""
        return Run.objects.create(
            organization=self.organization,
            workflow=self.version.workflow,
            version=self.version,
            case=case,
            **fields,
        )

    def states(self) -> list[tuple[RunState, CaseState]]:
        """State of each run and its case, in the order of the runs."""
        rows = Run.objects.order_by("pk").values_list("state", "case__state")
        return [(RunState(run), CaseState(case)) for run, case in rows]


@pytest.fixture
def probe(db: None, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """An organization with the scripted workflow published, and ada, who repairs."""
    outside, inside = ScriptedStep("scripted_outside", asks_outside=True), ScriptedStep("scripted")
    monkeypatch.setitem(registry.step_kinds, outside.name, outside)
    monkeypatch.setitem(registry.step_kinds, inside.name, inside)
    organization = make_organization("probes")
    version = publish_pack(organization, PACK, by=None, reason="For a test.")
    return Probe(organization, version, outside, inside, make_member(organization, "ada", Role.MANAGER))


@pytest.fixture
def committed_probe(transactional_db: None, probe: Probe) -> Probe:
    """The same where everything is committed, so that threads see it."""
    return probe
