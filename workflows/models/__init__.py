"""The rows of the engine: definitions, events, cases, runs, decisions, authorizations, failures, errands, alerts."""

from workflows.models.alerts import Alert
from workflows.models.bulk import Bulk, BulkItem
from workflows.models.cases import Case, Correction, Event
from workflows.models.decisions import Authorization, Decision, Rule, RuleSet
from workflows.models.definitions import Step, Workflow, WorkflowVersion
from workflows.models.dry_runs import DryRun, OtherDecision
from workflows.models.failures import Failure, FailureItem, Replay
from workflows.models.recovery import Recovery, RecoverySignature, Tide
from workflows.models.runs import Run, StepRun
from workflows.models.triggers import Pulse, Sighting, Trigger

__all__ = [
    "Alert",
    "Authorization",
    "Bulk",
    "BulkItem",
    "Case",
    "Correction",
    "Decision",
    "DryRun",
    "Event",
    "Failure",
    "FailureItem",
    "OtherDecision",
    "Pulse",
    "Recovery",
    "RecoverySignature",
    "Replay",
    "Rule",
    "RuleSet",
    "Run",
    "Sighting",
    "Step",
    "StepRun",
    "Tide",
    "Trigger",
    "Workflow",
    "WorkflowVersion",
]
