"""The rows of consent: calendars, tiers and stages, thresholds, reason codes, reviews and votes."""

from approvals.models.policy import (
    BusinessCalendar,
    Policy,
    ReasonCode,
    Stage,
    Threshold,
    TierSettings,
)
from approvals.models.reviews import Review, Vote

__all__ = [
    "BusinessCalendar",
    "Policy",
    "ReasonCode",
    "Review",
    "Stage",
    "Threshold",
    "TierSettings",
    "Vote",
]
