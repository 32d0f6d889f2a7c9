"""Changes that wait for another person."""

from accounts.models import Membership, Proposal, User
from accounts.proposals import stamp_of
from accounts.roles import Role
from accounts.snapshots import snapshot


def make_proposal(membership: Membership, *, by: User, role: Role = Role.MANAGER) -> Proposal:
    """Somebody is to have another role, once a second admin agrees."""
    reason = "Asked by the head of operations."
    return Proposal.objects.create(
        organization=membership.organization,
        page="accounts.membership",
        row_id=membership.pk,
        title=str(membership),
        form={"role": [role], "ended_at_0": [""], "ended_at_1": [""], "change_reason": [reason]},
        stamp=stamp_of(snapshot(membership)),
        before={"role": membership.role},
        after={"role": role},
        reason=reason,
        proposed_by=by,
    )
