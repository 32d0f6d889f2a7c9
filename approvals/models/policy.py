"""How much consent is needed, from whom, and how fast."""

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Organization, Team, User
from approvals.states import Verdict
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states
from workflows.models import Workflow
from workflows.states import VERSION_MOVES, Tier, VersionState


class TierSettings(models.Model):
    """What one tier means in one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="tiers")
    tier = models.CharField(max_length=12, choices=Tier)
    due_minutes = models.PositiveIntegerField(default=240, help_text="Business minutes until the review is late.")
    objection_minutes = models.PositiveIntegerField(
        default=30, help_text="Fast-track only: business minutes after the notice arrived."
    )
    undo_seconds = models.PositiveSmallIntegerField(
        default=10, help_text="How long a decision can be taken back before it takes effect."
    )
    text_needed = models.BooleanField(
        default=False, help_text="Whether a sentence is asked for beside the reason code."
    )
    text_minimum = models.PositiveSmallIntegerField(default=10, help_text="Characters, where a text is asked for.")

    class Meta:
        ordering = ["organization", "pk"]
        verbose_name = "tier"
        constraints = [
            models.UniqueConstraint(name="approvals_tiersettings_once", fields=["organization", "tier"]),
            models.CheckConstraint(name="approvals_tiersettings_known_tier", condition=Q(tier__in=Tier.values)),
        ]

    def __str__(self) -> str:
        return self.get_tier_display()


class Stage(models.Model):
    """One team's votes within a tier; stages are asked in order."""

    tier = models.ForeignKey(TierSettings, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveSmallIntegerField(default=0)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    votes = models.PositiveSmallIntegerField(default=1, help_text="Distinct people who must approve.")

    class Meta:
        ordering = ["tier", "position"]
        constraints = [
            models.UniqueConstraint(name="approvals_stage_position_once", fields=["tier", "position"]),
            models.CheckConstraint(name="approvals_stage_asks_somebody", condition=Q(votes__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.votes} of {self.team}"


class Policy(Movable):
    """One edition of a workflow's thresholds; the published one decides, reviews remember theirs."""

    MOVES = VERSION_MOVES

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="policies")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.DRAFT, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, editable=False, related_name="+")

    class Meta:
        ordering = ["workflow", "-number"]
        verbose_name = "threshold policy"
        verbose_name_plural = "threshold policies"
        constraints = [
            known_states("approvals_policy_known_state", VersionState),
            models.UniqueConstraint(name="approvals_policy_number_once", fields=["workflow", "number"]),
            models.UniqueConstraint(
                name="approvals_policy_one_published",
                fields=["workflow"],
                condition=Q(state=VersionState.PUBLISHED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workflow.slug} thresholds v{self.number}"


class Threshold(models.Model):
    """A band of amounts in one currency and the tier it asks for: from `above_minor` upwards."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="thresholds")
    currency = models.CharField(max_length=3)
    above_minor = models.BigIntegerField(help_text="Minor units; the band holds amounts above this one.")
    tier = models.CharField(max_length=12, choices=Tier)

    class Meta:
        ordering = ["policy", "currency", "above_minor"]
        constraints = [
            models.UniqueConstraint(name="approvals_threshold_once", fields=["policy", "currency", "above_minor"]),
            models.CheckConstraint(
                name="approvals_threshold_sound", condition=Q(above_minor__gte=0, tier__in=Tier.values)
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="frozen_with_its_policy",
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                declare=[("whole", "text")],
                func="""
                    SELECT state INTO whole FROM approvals_policy
                    WHERE id = (CASE WHEN TG_OP = 'DELETE' THEN OLD.policy_id ELSE NEW.policy_id END);
                    IF whole <> 'draft' THEN
                        RAISE EXCEPTION 'pgtrigger: Cannot change a threshold of a published policy';
                    END IF;
                    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"above {self.above}: {self.get_tier_display()}"

    @property
    def above(self) -> Money:
        return Money(self.above_minor, self.currency)


class ReasonCode(models.Model):
    """A reason a reviewer can give; managed by admins."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="reason_codes")
    verdict = models.CharField(max_length=8, choices=Verdict)
    code = models.SlugField(max_length=40)
    label = models.CharField(max_length=80)
    suggested_for = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Request reasons for which it is offered first.",
    )
    text_needed = models.BooleanField(default=False, help_text="Whether this reason asks for a sentence.")
    position = models.PositiveSmallIntegerField(default=0)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["organization", "verdict", "position"]
        constraints = [
            models.UniqueConstraint(name="approvals_reasoncode_once", fields=["organization", "verdict", "code"])
        ]

    def __str__(self) -> str:
        return self.label
