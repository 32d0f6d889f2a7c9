"""Rows for tests of thresholds."""

from typing import Any

from accounts.models import Organization, User
from approvals.models import Flip, Policy, Trial
from approvals.trials import content_of
from opsdesk.lib import clock
from tests import factories
from workflows.models import Case
from workflows.states import Tier


def make_trial(organization: Organization, *, by: User, **fields: Any) -> Trial:
    """A finished look back with the thresholds of the newest edition, at no case."""
    policy = Policy.objects.filter(workflow__organization=organization).order_by("-pk").first()
    if policy is None:
        policy = Policy.objects.create(workflow=factories.published_version(organization).workflow, number=1)
    defaults = {"state": "done", "ended_at": clock.now(), "content": content_of(policy), "total": 0}
    return Trial.objects.create(organization=organization, policy=policy, by=by, **{**defaults, **fields})


def make_flip(trial: Trial, case: Case, **fields: Any) -> Flip:
    """A case that would have gone out without anybody, and that people rejected."""
    defaults = {
        "decision": case.decisions.latest("pk"),
        "before": Tier.FULL_REVIEW,
        "after": Tier.INSTANT,
        "amount_minor": case.amount_minor,
        "currency": case.currency,
        "outcome": "rejected",
        "excess_minor": case.amount_minor,
        "words": "Instant: it is within the limit.",
    }
    return Flip.objects.create(trial=trial, case=case, **{**defaults, **fields})
