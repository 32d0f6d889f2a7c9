"""Published versions as the engine reads them: frozen in the database, so kept in the process."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workflows.models import WorkflowVersion
from workflows.states import Match


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """One step of a version."""

    position: int
    key: str
    kind: str
    config: Mapping[str, Any]
    when: tuple[Mapping[str, Any], ...] = ()
    match: str = Match.ALL


@dataclass(frozen=True, slots=True)
class TriggerDefinition:
    """One trigger of a version."""

    pk: int
    key: str
    kind: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Definition:
    """A version: its name in audit entries, its steps in order, and what begins it."""

    name: str
    workflow: str
    steps: tuple[StepDefinition, ...]
    triggers: tuple[TriggerDefinition, ...] = ()


@lru_cache(maxsize=256)
def definition_of(version_id: int) -> Definition:
    """The definition of a published version; three queries the first time, none later."""
    version = WorkflowVersion.objects.select_related("workflow").get(pk=version_id)
    steps = tuple(
        StepDefinition(position, step.key, step.kind, step.config, tuple(step.when), step.match)
        for position, step in enumerate(version.steps.order_by("position"))
    )
    triggers = tuple(
        TriggerDefinition(trigger.pk, trigger.key, trigger.kind, trigger.config)
        for trigger in version.triggers.order_by("position")
    )
    return Definition(f"{version.workflow.slug} v{version.number}", version.workflow.slug, steps, triggers)
