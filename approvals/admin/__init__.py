"""Consent in the admin: calendars, tiers, thresholds and reason codes."""

from approvals.admin.policies import PolicyAdmin
from approvals.admin.tiers import CalendarAdmin, ReasonCodeAdmin, TierAdmin

__all__ = ["CalendarAdmin", "PolicyAdmin", "ReasonCodeAdmin", "TierAdmin"]
