"""The rows of consent: calendars, tiers and stages, thresholds, reason codes, reviews, votes and claims."""

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
    "Claim",
    "Policy",
    "ReasonCode",
    "Review",
    "Stage",
    "Threshold",
    "TierSettings",
    "Vote",
]
