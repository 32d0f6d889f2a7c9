"""Consent in the admin: tiers, thresholds, reason codes, skills and time off."""

from approvals.admin.absences import AbsenceAdmin
from approvals.admin.limits import CeilingAdmin, RunningLimitAdmin
from approvals.admin.policies import PolicyAdmin
from approvals.admin.skills import SkillAdmin
from approvals.admin.tiers import ReasonCodeAdmin, TierAdmin

__all__ = [
    "AbsenceAdmin",
    "CeilingAdmin",
    "PolicyAdmin",
    "ReasonCodeAdmin",
    "RunningLimitAdmin",
    "SkillAdmin",
    "TierAdmin",
]
