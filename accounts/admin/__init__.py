"""Organizations, their calendars, and people in the admin."""

from accounts.admin.calendars import CalendarAdmin
from accounts.admin.groups import GroupRoleAdmin
from accounts.admin.organizations import OrganizationAdmin
from accounts.admin.people import AccountAdmin, MembershipAdmin, PersonAdmin, TeamAdmin
from accounts.admin.proposals import ProposalAdmin

__all__ = [
    "AccountAdmin",
    "CalendarAdmin",
    "GroupRoleAdmin",
    "MembershipAdmin",
    "OrganizationAdmin",
    "PersonAdmin",
    "ProposalAdmin",
    "TeamAdmin",
]
