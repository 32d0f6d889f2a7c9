"""What reviewers ask requesters, and what comes back."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from approvals.models.reviews import Review
from approvals.states import QUESTION_MOVES, QuestionState
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models import Case

LONGEST_ANSWER = 4_000  # characters


class QuestionQuerySet(models.QuerySet["Question"]):
    def visible_to(self, membership: Membership) -> Self:
        """Questions of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def open(self) -> Self:
        """Questions that still wait for their answer, the oldest first."""
        return self.filter(state=QuestionState.OPEN).order_by("asked_at", "pk")

    def locked(self) -> Self:
        """With the row lock, taken after those of case and review."""
        return self.order_by("pk").select_for_update(of=("self",))


class Question(Movable):
    """One question to the requester of a case. While it is open, the clock of its review stands."""

    MOVES = QUESTION_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="questions")
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="questions")
    state = models.CharField(max_length=10, choices=QuestionState, default=QuestionState.OPEN, editable=False)
    text = models.TextField()
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now())
    left = models.DurationField(
        null=True, help_text="Business time that was left when the clock was stopped; empty: it was late already."
    )
    # Who has the link may answer, once; what is kept here opens nothing.
    token_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token in the link.")
    expires_at = models.DateTimeField(help_text="Until when the link takes an answer.")
    closed_at = models.DateTimeField(null=True)
    answer = models.TextField(blank=True)
    answered_by = models.CharField(max_length=120, blank=True, help_text="Who answered and over which way, in words.")

    objects: ClassVar[QuestionQuerySet] = QuestionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["pk"]
        constraints = [
            known_states("approvals_question_known_state", QuestionState),
            models.UniqueConstraint(
                name="approvals_question_one_open_per_review",
                fields=["review"],
                condition=Q(state=QuestionState.OPEN),
            ),
            models.CheckConstraint(
                name="approvals_question_closed_at_iff_closed",
                condition=Q(state=QuestionState.OPEN, closed_at=None)
                | (~Q(state=QuestionState.OPEN) & Q(closed_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="approvals_question_answer_iff_answered",
                condition=(Q(state=QuestionState.ANSWERED) & ~Q(answer="") & ~Q(answered_by=""))
                | (~Q(state=QuestionState.ANSWERED) & Q(answer="", answered_by="")),
            ),
        ]
        indexes = [
            models.Index(
                name="approvals_question_open",
                fields=["organization", "asked_at"],
                condition=Q(state=QuestionState.OPEN),
            ),
        ]
        triggers = [only_listed_moves(QUESTION_MOVES)]

    def __str__(self) -> str:
        return f"question about CASE-{self.case_id}"
