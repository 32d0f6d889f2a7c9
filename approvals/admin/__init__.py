"""Consent in the admin: tiers, thresholds and reason codes."""

from approvals.admin.policies import PolicyAdmin
from approvals.admin.tiers import ReasonCodeAdmin, TierAdmin

__all__ = ["PolicyAdmin", "ReasonCodeAdmin", "TierAdmin"]
