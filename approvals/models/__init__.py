"""The rows of consent: calendars, tiers and stages, thresholds, reason codes, reviews and votes."""

from approvals.models.policy import (
    Policy,
    ReasonCode,
    Stage,
    Threshold,
    TierSettings,
)
from approvals.models.reviews import Review, Vote

__all__ = [
    "Policy",
    "ReasonCode",
    "Review",
    "Stage",
    "Threshold",
    "TierSettings",
    "Vote",
]
