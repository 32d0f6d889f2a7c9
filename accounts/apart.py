"""Who gives rights and who keeps the log of it: different people, where the organization says so.

Without that, admins set both. With it, retention and legal holds belong to Auditors, and an Auditor who is also an
Admin, with whichever account, sets neither of them.
"""

from typing import TYPE_CHECKING

from accounts.roles import Role

if TYPE_CHECKING:
    from accounts.models import Membership


def keeps_audit(membership: "Membership") -> bool:
    """Whether this member, whose role may, is the one who sets retention and legal holds."""
    if not membership.organization.audit_kept_apart:
        return membership.role == Role.ADMIN
    return membership.role == Role.AUDITOR and not _also_administers(membership)


def _also_administers(membership: "Membership") -> bool:
    """Whether the same human being is an Admin of the organization, with another account."""
    own = type(membership).objects.active().of_same_person(membership.user)
    return own.filter(organization_id=membership.organization_id, role=Role.ADMIN).exists()
