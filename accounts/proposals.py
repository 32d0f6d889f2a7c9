"""Four eyes over who may do what: a change that one admin proposes and another person puts in force.

What is proposed is the form as it was sent. Putting it in force sends it once more, by the other person and through the
same page, so nothing is changed past the checks and the record of that page; a row that became another meanwhile
is not changed at all.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts import journal
from accounts.errors import NotAllowed
from accounts.models import Membership, Organization, Proposal, User
from accounts.roles import Permission, roles_with
from accounts.snapshots import Snapshot
from accounts.states import ProposalState
from opsdesk.lib import clock

# How many people have to be left who could put a change in force.
_PAIR = 2


class Proposed(Exception):
    """A change that is not made now. Carries what it would have made of the row."""

    def __init__(self, row: Any, *, before: Snapshot, was: Snapshot, now: Snapshot, reason: str) -> None:
        super().__init__(str(row))
        self.title = str(row)
        self.stamp = stamp_of(before)
        self.was, self.now, self.reason = was, now, reason


def are_asked(organization_id: int) -> bool:
    """Whether changes of roles, teams, tiers and limits need another person in this organization."""
    return Organization.objects.filter(pk=organization_id, rights_need_second_person=True).exists()


def stamp_of(row: Snapshot) -> str:
    """A fingerprint of a row as it was looked at."""
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()


@transaction.atomic
def make(
    change: Proposed,
    *,
    page: str,
    row_id: int | None,
    organization_id: int,
    form: Mapping[str, list[str]],
    by: User,
) -> Proposal:
    """Keep a change for another person.

    `page` is the model whose page it was sent to, `row_id` the row it was about, `form` what was sent.
    """
    proposal = Proposal.objects.create(
        organization_id=organization_id,
        page=page,
        row_id=row_id,
        title=change.title[:200],
        form=dict(form),
        stamp=change.stamp,
        before=change.was,
        after=change.now,
        reason=change.reason,
        proposed_by=by,
    )
    _tell(proposal, "made", by=by, reason=change.reason)
    return proposal


def why_not(proposal: Proposal, by: User) -> str:
    """Why this person does not put a change in force; "" when they may."""
    if proposal.state != ProposalState.OPEN:
        return f"It is no longer open: {proposal.get_state_display().lower()}."
    if by.same_person_as(proposal.proposed_by):
        return f"{by} proposed this, so another person puts it in force."
    return ""


def end(proposal: Proposal, state: ProposalState, *, by: User, reason: str) -> None:
    """Close a proposal, under its lock. What was typed into the form is not kept: the audit log says what changed."""
    proposal.move_to(state, ended_by=by, ended_at=clock.now(), form={})
    _tell(proposal, state, by=by, reason=reason)


def _tell(proposal: Proposal, verb: str, *, by: User, reason: str) -> None:
    journal.tell(
        f"accounts.proposal.{verb}",
        user=by,
        organization_id=proposal.organization_id,
        subject=("proposal", proposal.pk),
        reason=reason,
        before=proposal.before,
        after=proposal.after,
    )


def admins_of(organization_id: int) -> set[str]:
    """Keys of the people who can configure the organization now: the role, and an account that opens the admin."""
    members = Membership.objects.filter(
        organization_id=organization_id,
        role__in=roles_with(Permission.CONFIGURE),
        ended_at=None,
        user__is_active=True,
        user__is_staff=True,
    )
    return {member.user.person_key for member in members.select_related("user")}


def refuse_lockout(organization_id: int) -> None:
    """Raise NotAllowed where too few people would be left to configure; called after the change, in its transaction.

    Two admins who each take the other's rights away at once wait for each other here, and the second is refused.
    """
    organization = Organization.objects.select_for_update(of=("self",)).get(pk=organization_id)
    needed = _PAIR if organization.rights_need_second_person else 1
    left = len(admins_of(organization_id))
    if left >= needed:
        return
    if needed == 1:
        raise NotAllowed("Nobody would be left who may configure: give somebody else the role Admin first.")
    raise NotAllowed(
        f"Changes here need two admins, and {left} would be left: give somebody else the role Admin first, on an "
        "account that opens the admin."
    )
