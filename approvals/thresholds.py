"""Thresholds: the amount bands of a policy, asked in every decision."""

from approvals.bands import BandTable
from approvals.models import Policy, Threshold
from workflows.engine.context import RunContext
from workflows.models import Case
from workflows.registry import Demand, Demands
from workflows.states import Tier, VersionState


def demands_of(context: RunContext) -> Demands:
    """What the published policy of the run's workflow asks for; no policy, or no band, asks for people."""
    workflow_id = context.run.workflow_id
    policy, table = context.batch.remember(("policy", workflow_id), lambda: _in_force(workflow_id))
    if policy is None:
        nobody = Demand(
            "thresholds", "undetermined", "No thresholds are published, so a person decides", Tier.FULL_REVIEW
        )
        return Demands("no thresholds", (nobody,))
    return Demands(str(policy), (table.demand(context.case),))


def _in_force(workflow_id: int) -> tuple[Policy | None, BandTable]:
    policy = published_policy(workflow_id)
    return policy, BandTable(policy.thresholds.all() if policy is not None else ())


def published_policy(workflow_id: int) -> Policy | None:
    """The thresholds in force for a workflow, with their bands loaded."""
    return (
        Policy.objects.filter(workflow_id=workflow_id, state=VersionState.PUBLISHED)
        .prefetch_related("thresholds")
        .select_related("workflow")
        .first()
    )


def band_demand(bands: list[Threshold], case: Case) -> Demand:
    """What these bands ask for about a case."""
    return BandTable(bands).demand(case)
