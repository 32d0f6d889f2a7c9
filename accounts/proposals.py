"""Four eyes over who may do what, and over what is kept: one person proposes a change, another one puts it in force.

Who that may be is whoever else could have made the change: what its page asks for is kept with the proposal. What is
proposed is the form as it was sent. Putting it in force sends it once more, by the other person and through the
same page, so nothing is changed past the checks and the record of that page; a row that became another meanwhile
is not changed at all.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.apps import apps
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
    permission: Permission = Permission.CONFIGURE,
) -> Proposal:
    """Keep a change for another person.

    `page` is the model whose page it was sent to, `permission` what that page asks for, `row_id` the row it was about,
    `form` what was sent.
    """
    proposal = Proposal.objects.create(
        organization_id=organization_id,
        page=page,
        permission=permission,
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


def kind_of(proposal: Proposal) -> str:
    """What kind of row would change, as one says it: “a membership”, “an organization”."""
    name = str(apps.get_model(proposal.page)._meta.verbose_name)
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def why_not(proposal: Proposal, by: User) -> str:
    """Why this person does not put a change in force; "" when they may."""
    if proposal.state != ProposalState.OPEN:
        return f"It is no longer open: {proposal.get_state_display().lower()}."
    if by.same_person_as(proposal.proposed_by):
        return f"{by} proposed this, so another person puts it in force."
    return ""


def who_is_missing(proposal: Proposal) -> str:
    """What must happen first, where nobody is there who could put it in force; "" where somebody is."""
    permission = Permission(proposal.permission)
    if people_who_may(proposal.organization_id, permission) - {proposal.proposed_by.person_key}:
        return ""
    role = "Admin"
    if permission == Permission.KEEP_AUDIT and proposal.organization.audit_kept_apart:
        role = "Auditor, who is no Admin"
    return f"Nobody is there who could: an admin gives somebody the role {role}, on an account that opens the admin."


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


def people_who_may(organization_id: int, permission: Permission) -> set[str]:
    """Keys of the people who can do this in the admin now: the role, and an account that opens it."""
    members = Membership.objects.filter(
        organization_id=organization_id,
        role__in=roles_with(permission),
        ended_at=None,
        user__is_active=True,
        user__is_staff=True,
    )
    rows = members.select_related("organization", "user")
    return {member.user.person_key for member in rows if member.may(permission)}


def refuse_lockout(organization_id: int) -> None:
    """Raise NotAllowed where too few people would be left to configure; called after the change, in its transaction.

    Two admins who each take the other's rights away at once wait for each other here, and the second is refused.
    """
    organization = _locked(organization_id)
    left = len(people_who_may(organization_id, Permission.CONFIGURE))
    if left >= _needed(organization):
        return
    if not organization.rights_need_second_person:
        raise NotAllowed("Nobody would be left who may configure: give somebody else the role Admin first.")
    raise NotAllowed(
        f"Changes here need two admins, and {left} would be left: give somebody else the role Admin first, on an "
        "account that opens the admin."
    )


def refuse_unkept(organization_id: int) -> None:
    """Raise NotAllowed where the log would be kept apart and too few people could set anything about it.

    Called where that is asked for. Later an Auditor may go: those who give rights find another one, and until then what
    is kept stays kept.
    """
    organization = _locked(organization_id)
    left = len(people_who_may(organization_id, Permission.KEEP_AUDIT))
    if not organization.audit_kept_apart or left >= _needed(organization):
        return
    if not organization.rights_need_second_person:
        raise NotAllowed(
            "Nobody would be left who may set retention and legal holds: give somebody who is no Admin the role "
            "Auditor first, on an account that opens the admin."
        )
    raise NotAllowed(
        f"Changes of retention and legal holds need two who may set them, and there would be {left}: give somebody "
        "else who is no Admin the role Auditor first, on an account that opens the admin."
    )


def _locked(organization_id: int) -> Organization:
    return Organization.objects.select_for_update(of=("self",)).get(pk=organization_id)


def _needed(organization: Organization) -> int:
    return _PAIR if organization.rights_need_second_person else 1
