"""Cases in a queue waiting for people, and people's verdicts."""

from typing import ClassVar, Self

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from approvals.models.absences import Absence
from approvals.models.tiers import ReasonCode, TierSettings
from approvals.states import REVIEW_FINAL, REVIEW_MOVES, ReviewState, Verdict
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models import Case, Decision, Run
from workflows.states import Tier


class ReviewQuerySet(models.QuerySet["Review"]):
    def visible_to(self, membership: Membership) -> Self:
        """Reviews of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def open(self) -> Self:
        """Reviews somebody can still decide."""
        return self.filter(state=ReviewState.OPEN)

    def for_queue(self) -> Self:
        """Open full reviews, first due first, with what a row shows."""
        return self.awake().filter(tier=Tier.FULL_REVIEW).select_related("case", "assignee").order_by("due_at", "pk")

    def leaving(self) -> Self:
        """Fast-track reviews that go out by themselves unless somebody objects, first to leave first."""
        return (
            self.open()
            .filter(tier=Tier.FAST_TRACK)
            .select_related("case", "assignee")
            .order_by(models.F("objection_ends_at").asc(nulls_last=True), "pk")
        )

    def awake(self) -> Self:
        """Open reviews that nobody has put off."""
        return self.open().filter(Q(snoozed_until=None) | Q(snoozed_until__lte=Now()))

    def resting(self) -> Self:
        """Reviews that come back to the queue: those that wait for an answer, and those that were put off."""
        return self.filter(Q(state=ReviewState.ASKED) | Q(state=ReviewState.OPEN, snoozed_until__gt=Now()))

    def late(self) -> Self:
        """Open reviews past their due time."""
        return self.open().filter(due_at__lt=Now())

    def locked(self) -> Self:
        """With the row lock that every decision takes first."""
        return self.order_by("pk").select_for_update(of=("self",))


class Review(Movable):
    """One case that needs consent: by votes, or by nobody objecting."""

    MOVES = REVIEW_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="reviews")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="reviews")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="reviews")
    settings = models.ForeignKey(TierSettings, on_delete=models.PROTECT, related_name="+")
    terms = models.JSONField(
        default=dict, db_default={}, editable=False, help_text="What its tiers asked for when it was opened."
    )
    tier = models.CharField(max_length=12, choices=Tier)
    state = models.CharField(max_length=10, choices=ReviewState, default=ReviewState.OPEN, editable=False)
    stage = models.PositiveSmallIntegerField(default=0, help_text="Index of the stage that votes now.")
    asks = ArrayField(
        models.BigIntegerField(),
        default=list,
        db_default=[],
        help_text="Keys of the teams that vote now; empty where nobody has written it down.",
    )
    assignee = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="reviews_assigned")
    assigned_at = models.DateTimeField(null=True, help_text="When it was given to whoever has it.")
    content_hash = models.CharField(max_length=64)
    opened_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField()
    objection_ends_at = models.DateTimeField(null=True, help_text="Set when the notice is known to have arrived.")
    settles_at = models.DateTimeField(null=True, help_text="When the votes take effect.")
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    climbed_minutes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Business minutes of the last rung of the ladder that was climbed."
    )
    rung_due_at = models.DateTimeField(null=True, help_text="When the next rung is due; empty after the last.")
    snoozed_until = models.DateTimeField(null=True, help_text="Until when it is kept out of the queue.")
    snoozed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    wakes_after = models.BigIntegerField(
        null=True, help_text="Audit entry after which any other about the case puts it back earlier."
    )
    blocked_reason = models.CharField(max_length=200, blank=True, help_text="Why nobody may vote, when nobody may.")

    objects: ClassVar[ReviewQuerySet] = ReviewQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("approvals_review_known_state", ReviewState),
            models.UniqueConstraint(
                name="approvals_review_one_open_per_run",
                fields=["run"],
                condition=~Q(state__in=sorted(REVIEW_FINAL)),
            ),
            models.CheckConstraint(
                name="approvals_review_closed_at_iff_final",
                condition=Q(state__in=sorted(REVIEW_FINAL), closed_at__isnull=False)
                | (~Q(state__in=sorted(REVIEW_FINAL)) & Q(closed_at=None)),
            ),
            models.CheckConstraint(
                name="approvals_review_settles_iff_decided",
                condition=Q(state__in=["approving", "rejecting"], settles_at__isnull=False)
                | ~Q(state__in=["approving", "rejecting"]),
            ),
            models.CheckConstraint(
                name="approvals_review_put_off_by_somebody",
                condition=Q(snoozed_until=None, snoozed_by=None, wakes_after=None)
                | Q(snoozed_until__isnull=False, snoozed_by__isnull=False),
            ),
            models.CheckConstraint(
                name="approvals_review_only_fast_track_leaves",
                condition=Q(objection_ends_at=None) | Q(tier=Tier.FAST_TRACK),
            ),
        ]
        indexes = [
            # Whose turn it is: when somebody was given a case last.
            models.Index(name="approvals_review_last_given", fields=["assignee", "-assigned_at"]),
            models.Index(
                name="approvals_review_queue",
                fields=["organization", "tier", "due_at", "id"],
                condition=Q(state=ReviewState.OPEN),
            ),
            # What one person has, first due first, however much they have decided.
            models.Index(
                name="approvals_review_mine",
                fields=["assignee", "due_at", "id"],
                condition=Q(state=ReviewState.OPEN),
            ),
            # Those that come back, and everything that waits of whatever state, without what is over.
            models.Index(
                name="approvals_review_resting",
                fields=["organization", "due_at", "id"],
                condition=Q(state=ReviewState.ASKED) | Q(state=ReviewState.OPEN, snoozed_until__isnull=False),
            ),
            models.Index(
                name="approvals_review_unfinished",
                fields=["organization", "opened_at"],
                condition=~Q(state__in=sorted(REVIEW_FINAL)),
            ),
            models.Index(name="approvals_review_opened", fields=["organization", "-opened_at"]),
            models.Index(
                name="approvals_review_rungs",
                fields=["rung_due_at"],
                condition=Q(state=ReviewState.OPEN, rung_due_at__isnull=False),
            ),
            models.Index(
                name="approvals_review_settles",
                fields=["settles_at"],
                condition=Q(state__in=["approving", "rejecting"]),
            ),
            models.Index(
                name="approvals_review_leaves",
                fields=["objection_ends_at"],
                condition=Q(state=ReviewState.OPEN),
            ),
            models.Index(
                name="approvals_review_put_off", fields=["snoozed_until"], condition=Q(snoozed_until__isnull=False)
            ),
        ]
        triggers = [only_listed_moves(REVIEW_MOVES)]

    def __str__(self) -> str:
        return f"review of CASE-{self.case_id}"


class Vote(models.Model):
    """One person's verdict in one stage, with the reason; taking it back marks it, nothing removes it."""

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="votes")
    stage = models.PositiveSmallIntegerField()
    voter = models.ForeignKey(User, on_delete=models.PROTECT, related_name="votes")
    person_key = models.CharField(max_length=30, help_text="The human being behind the account.")
    absence = models.ForeignKey(
        Absence, on_delete=models.PROTECT, null=True, related_name="votes", help_text="Whom the voter stood in for."
    )
    seat_key = models.CharField(
        max_length=30,
        blank=True,
        default="",
        db_default="",
        help_text="The human being whose place in the team the vote takes: one vote each.",
    )
    verdict = models.CharField(max_length=8, choices=Verdict)
    reason_code = models.ForeignKey(ReasonCode, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(blank=True)
    second_look = models.BooleanField(
        default=False, db_default=False, help_text="Whether the person said that they looked at the evidence again."
    )
    amount_minor = models.BigIntegerField(
        null=True, help_text="Minor units that were approved; empty: all that is asked."
    )
    content_hash = models.CharField(max_length=64)
    cast_at = models.DateTimeField(db_default=Now())
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_vote_one_per_person",
                fields=["review", "person_key"],
                condition=Q(withdrawn_at=None),
            ),
            models.UniqueConstraint(
                name="approvals_vote_one_per_seat",
                fields=["review", "seat_key"],
                condition=Q(withdrawn_at=None) & ~Q(seat_key=""),
            ),
            models.CheckConstraint(
                name="approvals_vote_approves_an_amount",
                condition=Q(amount_minor=None) | Q(amount_minor__gt=0, verdict=Verdict.APPROVE),
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="only_withdrawn_later",
                operation=pgtrigger.UpdateOf(
                    "review_id",
                    "stage",
                    "voter_id",
                    "person_key",
                    "verdict",
                    "text",
                    "amount_minor",
                    "content_hash",
                ),
            ),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.voter}: {self.verdict}"

    @property
    def amount(self) -> Money | None:
        """What was approved, where it was less than what is asked."""
        return Money(self.amount_minor, self.review.case.currency) if self.amount_minor is not None else None
