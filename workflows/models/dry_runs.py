"""What rules would have decided about cases of the past: asked for by a person, kept, and acted on by nobody."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models.cases import Case
from workflows.models.decisions import Decision, RuleSet
from workflows.states import DRY_RUN_MOVES, DryRunState, Tier


class DryRunQuerySet(models.QuerySet["DryRun"]):
    def visible_to(self, membership: Membership) -> Self:
        """Dry runs of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class DryRun(Movable):
    """One look back with the rules of one edition over the last decisions of its workflow, newest case first."""

    MOVES = DRY_RUN_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule_set = models.ForeignKey(RuleSet, on_delete=models.CASCADE, related_name="dry_runs")
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=8, choices=DryRunState, default=DryRunState.RUNNING, editable=False)
    content = models.CharField(max_length=64, help_text="Hash of the rules that were asked: a draft may change later.")
    total = models.PositiveIntegerField(help_text="How many cases are looked at.")
    looked_at = models.PositiveIntegerField(default=0, help_text="How many have been.")
    next_before = models.BigIntegerField(null=True, help_text="The cases below this key come next.")
    milder = models.PositiveIntegerField(default=0, help_text="How many would have needed less consent.")
    stricter = models.PositiveIntegerField(default=0, help_text="How many would have needed more.")
    moves = models.JSONField(default=dict, help_text="“tier before>tier after” to how many cases.")
    money = models.JSONField(default=dict, help_text="Currency to minor units that need less and that need more.")
    note = models.CharField(max_length=300, blank=True)
    asked_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now(), help_text="When a job last worked on it.")
    tries = models.PositiveSmallIntegerField(
        default=0, help_text="How often a job was asked for again since one got on with it."
    )
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[DryRunQuerySet] = DryRunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_dryrun_known_state", DryRunState),
            models.CheckConstraint(
                name="workflows_dryrun_ended_at_unless_running",
                condition=Q(state=DryRunState.RUNNING, ended_at=None)
                | (~Q(state=DryRunState.RUNNING) & Q(ended_at__isnull=False)),
            ),
        ]
        triggers = [only_listed_moves(DRY_RUN_MOVES)]

    def __str__(self) -> str:
        return f"dry run of {self.rule_set}"

    @property
    def changed(self) -> int:
        """How many decisions would have been others."""
        return self.milder + self.stricter


class OtherDecision(models.Model):
    """A case about which the rules of a dry run would have decided otherwise."""

    dry_run = models.ForeignKey(DryRun, on_delete=models.CASCADE, related_name="others", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+", db_index=False)
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="+", db_index=False)
    before = models.CharField(max_length=12, choices=Tier)
    after = models.CharField(max_length=12, choices=Tier)
    words = models.TextField(help_text="What it would have said.")
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(name="workflows_otherdecision_once", fields=["dry_run", "case"]),
            models.CheckConstraint(
                name="workflows_otherdecision_is_another",
                condition=Q(before__in=Tier.values, after__in=Tier.values) & ~Q(before=models.F("after")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case}: {self.after} instead of {self.before}"

    @property
    def amount(self) -> Money | None:
        """What the case asked for."""
        return Money(self.amount_minor, self.currency) if self.amount_minor is not None else None

    @property
    def is_milder(self) -> bool:
        """Whether less consent would have been needed."""
        return Tier(self.after).rank < Tier(self.before).rank
