"""The rows of consent: tiers and stages, thresholds, limits, reason codes, reviews, votes, claims and time off."""

from approvals.models.absences import Absence
from approvals.models.claims import Claim
from approvals.models.comments import Comment
from approvals.models.limits import Ceiling, RunningLimit
from approvals.models.policy import Policy, Threshold
from approvals.models.questions import Question
from approvals.models.reviews import Review, Vote
from approvals.models.second_opinions import SecondOpinion
from approvals.models.setbacks import Setback
from approvals.models.skills import Skill
from approvals.models.tier_editions import TierEdition
from approvals.models.tiers import ReasonCode, Rung, Stage, TierSettings
from approvals.models.trials import Flip, Trial

__all__ = [
    "Absence",
    "Ceiling",
    "Claim",
    "Comment",
    "Flip",
    "Policy",
    "Question",
    "ReasonCode",
    "Review",
    "Rung",
    "RunningLimit",
    "SecondOpinion",
    "Setback",
    "Skill",
    "Stage",
    "Threshold",
    "TierEdition",
    "TierSettings",
    "Trial",
    "Vote",
]
