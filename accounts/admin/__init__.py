"""Organizations, their calendars, and people in the admin."""

from accounts.admin.calendars import CalendarAdmin
from accounts.admin.people import AccountAdmin, MembershipAdmin, OrganizationAdmin, PersonAdmin, TeamAdmin

__all__ = ["AccountAdmin", "CalendarAdmin", "MembershipAdmin", "OrganizationAdmin", "PersonAdmin", "TeamAdmin"]
