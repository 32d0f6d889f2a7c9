"""Moving the limits of thresholds: each change goes into the workflow's draft, which a person publishes later."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from accounts.models import User
from approvals.bands import Scope, in_words, scope_of_band
from approvals.models import Policy, Threshold
from approvals.policies import POLICIES, new_draft_policy
from opsdesk.lib import clock
from opsdesk.lib.money import Money
from workflows.errors import NotInForce, Unpublishable
from workflows.models import Workflow
from workflows.states import Tier, VersionState


@dataclass(frozen=True, slots=True)
class Limits:
    """Bands as two limits, in minor units: up to the first nobody is asked, up to the second nobody has to answer.

    None is no limit: there is nothing above.
    """

    instant: int | None
    fast_track: int | None

    @classmethod
    def of(cls, bands: Sequence[Threshold]) -> "Limits":
        """The limits of one group of bands, lowest first."""

        def above(rank: int) -> int | None:
            return min((band.above_minor for band in bands if Tier(band.tier).rank > rank), default=None)

        return cls(above(Tier.INSTANT.rank), above(Tier.FAST_TRACK.rank))

    def bands(self) -> list[tuple[int, Tier]]:
        """Where each band begins, and its tier; empty bands are left out."""
        begins = [(0, Tier.INSTANT), (self.instant, Tier.FAST_TRACK), (self.fast_track, Tier.FULL_REVIEW)]
        ends = [self.instant, self.fast_track, None]
        return [
            (begin, tier) for (begin, tier), end in zip(begins, ends, strict=True) if begin is not None and begin != end
        ]

    def check(self) -> None:
        """Raise Unpublishable where the second limit is below the first."""
        if self.fast_track is not None and (self.instant is None or self.instant > self.fast_track):
            raise Unpublishable("Fast-track cannot end below the limit for instant.")


def draft_of(workflow: Workflow) -> Policy | None:
    """The newest draft of a workflow's thresholds."""
    return Policy.objects.filter(workflow=workflow, state=VersionState.DRAFT).select_related("edited_by").first()


def live_of(workflow: Workflow) -> Policy | None:
    """The thresholds in force."""
    published = Policy.objects.filter(workflow=workflow, state=VersionState.PUBLISHED)
    return published.select_related("published_by").first()


@transaction.atomic
def move_limits(workflow: Workflow, *, currency: str, scope: Scope, limits: Limits, by: User, reason: str) -> Policy:
    """Write other limits for some requests into the workflow's draft, which begins as a copy of what is in force.

    Raises Unpublishable for limits that cannot be, NotInForce where there is nothing to begin with.
    """
    limits.check()
    Workflow.objects.select_for_update(of=("self",)).get(pk=workflow.pk)
    draft = draft_of(workflow)
    if draft is None:
        live = live_of(workflow)
        if live is None:
            raise NotInForce("No thresholds are published: draft the first ones in the admin.")
        draft = new_draft_policy(live, by=by, reason=reason)
    reason_of, segment, channel = scope
    group = {"currency": currency, "reason": reason_of, "segment": segment, "channel": channel}
    before = _told(draft, currency, scope)
    draft.thresholds.filter(**group).delete()
    rows = [Threshold(policy=draft, above_minor=above, tier=tier, **group) for above, tier in limits.bands()]
    Threshold.objects.bulk_create(rows)
    Policy.objects.filter(pk=draft.pk).update(edited_by=by, edited_at=clock.now())
    after = _told(draft, currency, scope)
    which = " ".join(filter(None, [currency, in_words(scope)]))
    POLICIES.tell("changed", draft, by=by, reason=reason, before={which: before}, after={which: after})
    draft.refresh_from_db()
    return draft


@transaction.atomic
def drop_group(workflow: Workflow, *, currency: str, scope: Scope, by: User, reason: str) -> Policy:
    """Take the bands for some requests out of the draft, so that those for all speak for them too."""
    if not any(scope):
        raise Unpublishable("The bands for all requests stay.")
    Workflow.objects.select_for_update(of=("self",)).get(pk=workflow.pk)
    draft, live = draft_of(workflow), live_of(workflow)
    if draft is None and live is not None:
        draft = new_draft_policy(live, by=by, reason=reason)
    if draft is None:
        raise NotInForce("No thresholds are published: draft the first ones in the admin.")
    before = _told(draft, currency, scope)
    reason_of, segment, channel = scope
    draft.thresholds.filter(currency=currency, reason=reason_of, segment=segment, channel=channel).delete()
    Policy.objects.filter(pk=draft.pk).update(edited_by=by, edited_at=clock.now())
    which = f"{currency} {in_words(scope)}"
    POLICIES.tell("changed", draft, by=by, reason=reason, before={which: before}, after={which: []})
    draft.refresh_from_db()
    return draft


def go_back_to(policy: Policy, *, by: User, reason: str) -> Policy:
    """A draft of thresholds that were in force before. Raises NotInForce for those that never were."""
    if policy.published_at is None:
        raise NotInForce(f"{policy} was never in force.")
    return new_draft_policy(policy, by=by, reason=reason)


def _told(policy: Policy, currency: str, scope: Scope) -> list[str]:
    rows = policy.thresholds.filter(currency=currency).order_by("above_minor")
    return [str(band) for band in rows if scope_of_band(band) == scope]


def money_or_none(minor: int | None, currency: str) -> Money | None:
    """A limit as money; None where there is none."""
    return None if minor is None else Money(minor, currency)
