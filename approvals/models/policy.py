"""Thresholds: how much consent an amount needs."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states
from workflows.models import Workflow
from workflows.states import VERSION_MOVES, Tier, VersionState

# What begins or ends with a space would never equal what a request says.
_TRIMMED = r"^(\S(.*\S)?)?$"


class Policy(Movable):
    """One edition of a workflow's thresholds; the published one decides, reviews remember theirs."""

    MOVES = VERSION_MOVES

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="policies")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.DRAFT, editable=False)
    drafted_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    edited_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, editable=False, related_name="+",
        help_text="Who changed it last; empty where the desk itself filled it.",
    )  # fmt: skip
    edited_at = models.DateTimeField(null=True, editable=False)

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
    """A band of amounts in one currency and the tier it asks for: from `above_minor` upwards.

    It may be for one reason, customer segment or channel only; the bands for just those stand by themselves.
    """

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="thresholds")
    currency = models.CharField(max_length=3)
    reason = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Reason of requests; empty: every reason."
    )
    segment = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Customer segment, as the request names it."
    )
    channel = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Channel, as the request names it."
    )
    above_minor = models.BigIntegerField(help_text="Minor units; the band holds amounts above this one.")
    tier = models.CharField(max_length=12, choices=Tier)

    class Meta:
        ordering = ["policy", "currency", "reason", "segment", "channel", "above_minor"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_threshold_once",
                fields=["policy", "currency", "reason", "segment", "channel", "above_minor"],
            ),
            models.CheckConstraint(
                name="approvals_threshold_scope_trimmed",
                condition=Q(reason__regex=_TRIMMED, segment__regex=_TRIMMED, channel__regex=_TRIMMED),
            ),
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
