"""What thresholds would have decided about cases of the past: asked for by a person, kept, and acted on by nobody."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from approvals.models.policy import Policy
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models import Case, Decision
from workflows.states import DRY_RUN_MOVES, DryRunState, Tier


class TrialQuerySet(models.QuerySet["Trial"]):
    def visible_to(self, membership: Membership) -> Self:
        """Trials of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class Trial(Movable):
    """One look back with the thresholds of one edition over the last decisions of its workflow, newest case first."""

    MOVES = DRY_RUN_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="trials")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=8, choices=DryRunState, default=DryRunState.RUNNING, editable=False)
    content = models.CharField(max_length=64, help_text="Hash of the bands that were asked: a draft may change later.")
    total = models.PositiveIntegerField(help_text="How many cases are looked at.")
    looked_at = models.PositiveIntegerField(default=0, help_text="How many have been.")
    next_before = models.BigIntegerField(null=True, help_text="The cases below this key come next.")
    moves = models.JSONField(default=dict, help_text="“tier before>tier after” to how many cases.")
    money = models.JSONField(
        default=dict, help_text="Currency to minor units that would be automatic, and that would be no longer."
    )
    excess = models.JSONField(
        default=dict, help_text="Currency to how many automatic cases people paid less of, and the minor units between."
    )
    votes = models.PositiveIntegerField(default=0, help_text="Votes that the cases which become automatic took.")
    vote_seconds = models.PositiveIntegerField(
        null=True, help_text="What one vote took people, in the middle of those measured."
    )
    note = models.CharField(max_length=300, blank=True)
    asked_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now(), help_text="When a job last worked on it.")
    tries = models.PositiveSmallIntegerField(
        default=0, help_text="How often a job was asked for again since one got on with it."
    )
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[TrialQuerySet] = TrialQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("approvals_trial_known_state", DryRunState),
            models.CheckConstraint(
                name="approvals_trial_ended_at_unless_running",
                condition=Q(state=DryRunState.RUNNING, ended_at=None)
                | (~Q(state=DryRunState.RUNNING) & Q(ended_at__isnull=False)),
            ),
        ]
        triggers = [only_listed_moves(DRY_RUN_MOVES)]

    def __str__(self) -> str:
        return f"trial of {self.policy}"

    def counted(self, *, stricter: bool) -> int:
        """How many cases would have needed more consent, or less."""
        found = 0
        for move, count in self.moves.items():
            before, after = (Tier(tier).rank for tier in move.split(">"))
            found += count if (after > before) == stricter else 0
        return found

    @property
    def automatic(self) -> int:
        """How many cases would have gone out without anybody being asked, and were not."""
        return sum(count for move, count in self.moves.items() if move.endswith(f">{Tier.INSTANT}"))

    @property
    def seconds_saved(self) -> int | None:
        """The time people would not have spent; None where no vote was measured."""
        return None if self.vote_seconds is None else self.votes * self.vote_seconds


class Flip(models.Model):
    """A case that other thresholds would have sent another way, and what became of it as it was."""

    class Outcome(models.TextChoices):
        PAID = "paid", "paid in full"
        LESS = "less", "paid less"
        REJECTED = "rejected", "rejected"
        OPEN = "open", "not decided yet"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="flips", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+", db_index=False)
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="+", db_index=False)
    before = models.CharField(max_length=12, choices=Tier)
    after = models.CharField(max_length=12, choices=Tier)
    words = models.TextField(help_text="What the decision would have said.")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    outcome = models.CharField(max_length=8, choices=Outcome)
    excess_minor = models.BigIntegerField(default=0, help_text="What would have been paid above what people paid.")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="approvals_flip_once", fields=["trial", "case"]),
            models.CheckConstraint(
                name="approvals_flip_is_another",
                condition=Q(before__in=Tier.values, after__in=Tier.values) & ~Q(before=F("after")),
            ),
            models.CheckConstraint(
                name="approvals_flip_excess_within_amount",
                condition=Q(excess_minor__gte=0, excess_minor__lte=F("amount_minor")),
            ),
        ]
        indexes = [
            models.Index(name="approvals_flip_worst", fields=["trial", "after", "-excess_minor", "-amount_minor"])
        ]

    def __str__(self) -> str:
        return f"{self.case}: {self.after} instead of {self.before}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def excess(self) -> Money:
        return Money(self.excess_minor, self.currency)
