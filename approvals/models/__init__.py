"""The rows of consent: calendars, tiers and stages, thresholds, reason codes, reviews, votes, claims and time off."""

from approvals.models.absences import Absence
from approvals.models.claims import Claim
from approvals.models.policy import (
    Policy,
    ReasonCode,
    Stage,
    Threshold,
    TierSettings,
)
from approvals.models.reviews import Review, Vote

__all__ = [
    "Absence",
    "Claim",
    "Policy",
    "ReasonCode",
    "Review",
    "Stage",
    "Threshold",
    "TierSettings",
    "Vote",
]
