"""What the rules decided, on which facts, and the grants that follow."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Organization, User
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states
from workflows.models.cases import Case
from workflows.models.definitions import Workflow
from workflows.models.freezing import frozen_with
from workflows.models.runs import Run
from workflows.states import VERSION_MOVES, Match, Tier, VersionState


class RuleSet(Movable):
    """One edition of a workflow's rules; the published one decides."""

    MOVES = VERSION_MOVES

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="rule_sets")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState, default=VersionState.DRAFT, editable=False)
    drafted_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    published_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, editable=False, related_name="+")
    edited_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, editable=False, related_name="+",
        help_text="Who changed it last; empty where the desk itself filled it.",
    )  # fmt: skip

    class Meta:
        ordering = ["workflow", "-number"]
        constraints = [
            known_states("workflows_ruleset_known_state", VersionState),
            models.UniqueConstraint(name="workflows_ruleset_number_once", fields=["workflow", "number"]),
            models.UniqueConstraint(
                name="workflows_ruleset_one_published",
                fields=["workflow"],
                condition=Q(state=VersionState.PUBLISHED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workflow.slug} rules v{self.number}"


class Rule(models.Model):
    """Conditions over facts and what follows when they hold. Data, never text to be evaluated."""

    class Effect(models.TextChoices):
        AT_LEAST = "at_least", "asks for at least this tier"
        FLAG = "flag", "is pointed out"

    Match = Match

    rule_set = models.ForeignKey(RuleSet, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=120, help_text="Said on the case page: “Second claim in 30 days”.")
    match = models.CharField(max_length=3, choices=Match.choices, default=Match.ALL)
    conditions = models.JSONField(
        default=list, help_text="List of {fact, operator, value}; facts and operators from the catalogue."
    )
    effect = models.CharField(max_length=10, choices=Effect, default=Effect.AT_LEAST)
    tier = models.CharField(max_length=12, choices=Tier, default=Tier.FULL_REVIEW)

    class Meta:
        ordering = ["rule_set", "position"]
        constraints = [
            models.UniqueConstraint(name="workflows_rule_position_once", fields=["rule_set", "position"]),
            models.CheckConstraint(name="workflows_rule_known_tier", condition=Q(tier__in=Tier.values)),
        ]
        triggers = [
            frozen_with(
                "frozen_with_its_set",
                table="workflows_ruleset",
                column="rule_set_id",
                part="a rule",
                whole="rule set",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Decision(models.Model):
    """The recorded outcome of rules and thresholds, with everything it rested on. Never changed."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="decisions")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="decisions")
    tier = models.CharField(max_length=12, choices=Tier)
    facts = models.JSONField()
    trace = models.JSONField(help_text="Every demand: rule or threshold, result, tier it asks for, words.")
    sentence = models.TextField()
    rule_set = models.ForeignKey(RuleSet, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    policy = models.CharField(max_length=60, blank=True, help_text="Threshold policy and version that was asked.")
    content_hash = models.CharField(max_length=64)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [models.CheckConstraint(name="workflows_decision_known_tier", condition=Q(tier__in=Tier.values))]
        triggers = [pgtrigger.Protect(name="never_changed", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return self.sentence


class Authorization(models.Model):
    """The grant to move up to an amount for one case. Only the services of `approvals` write it."""

    class Source(models.TextChoices):
        RULE = "rule", "rules"
        PEOPLE = "people", "people"
        OBJECTION_WINDOW = "window", "nobody objected"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="authorizations")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="authorizations")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="authorizations", db_index=False)
    source = models.CharField(max_length=8, choices=Source)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    target = models.CharField(max_length=100)
    content_hash = models.CharField(max_length=64)
    granted_by = models.CharField(max_length=300, help_text="Who or what granted it, in words.")
    at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Authorization"]] = models.Manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(name="workflows_authorization_amount_positive", condition=Q(amount_minor__gt=0)),
            models.UniqueConstraint(name="workflows_authorization_once_per_decision", fields=["decision"]),
        ]
        triggers = [pgtrigger.Protect(name="never_changed", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"authorization of {self.amount} for {self.case}"

    @property
    def amount(self) -> Money:
        """The most that may be moved."""
        return Money(self.amount_minor, self.currency)
