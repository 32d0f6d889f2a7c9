"""Decided cases that another person looks at afterwards, without being told how they were decided."""

from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from approvals.models.reviews import Review
from approvals.models.tiers import ReasonCode
from approvals.states import SECOND_OPINION_MOVES, SecondOpinionState, Verdict
from opsdesk.lib.states import Movable, known_states, only_listed_moves


class SecondOpinionQuerySet(models.QuerySet["SecondOpinion"]):
    def visible_to(self, membership: Membership) -> Self:
        """Those of the member's own organization that the member was asked for: to others they say too much."""
        return self.filter(organization_id=membership.organization_id, asked_id=membership.user_id)

    def open(self) -> Self:
        """Those that were not answered yet."""
        return self.filter(state=SecondOpinionState.OPEN)


class SecondOpinion(Movable):
    """One decided review put before another person. Whatever they say, what was decided stands."""

    MOVES = SECOND_OPINION_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="second_opinion")
    asked = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=10, choices=SecondOpinionState, default=SecondOpinionState.OPEN, editable=False)
    verdict = models.CharField(max_length=8, choices=Verdict, blank=True)
    reason_code = models.ForeignKey(ReasonCode, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    text = models.TextField(blank=True)
    asked_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)

    objects: ClassVar[SecondOpinionQuerySet] = SecondOpinionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("approvals_secondopinion_known_state", SecondOpinionState),
            models.CheckConstraint(
                name="approvals_secondopinion_answered_with_verdict",
                condition=Q(state=SecondOpinionState.OPEN, verdict="", answered_at=None)
                | (~Q(state=SecondOpinionState.OPEN) & ~Q(verdict="") & Q(answered_at__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(name="approvals_opinion_asked", fields=["organization", "asked"], condition=Q(state="open")),
            models.Index(name="approvals_opinion_given", fields=["organization", "-answered_at"]),
        ]
        triggers = [
            only_listed_moves(SECOND_OPINION_MOVES),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"second opinion {self.pk}"
