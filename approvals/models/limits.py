"""How much may go out in a day, by itself and by one person's word, and how much one person may decide at all."""

from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from opsdesk.lib.money import Money
from workflows.models import Workflow


class RunningLimit(models.Model):
    """What may go out in one local day; whatever would pass it waits for people, or for another person."""

    class Scope(models.TextChoices):
        CUSTOMER = "customer", "to one customer"
        ORGANIZATION = "organization", "in all"
        RULE = "rule", "where a rule holds"
        REVIEWER = "reviewer", "by one person's approval"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="running_limits")
    scope = models.CharField(max_length=12, choices=Scope)
    workflow = models.ForeignKey(
        Workflow,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Whose rules are meant, where the limit is for one rule.",
    )
    rule = models.CharField(
        max_length=120, blank=True, default="", db_default="", help_text="Name of the rule, as its rule set says it."
    )
    currency = models.CharField(max_length=3, help_text="Sums are of this currency; whatever has no limit waits.")
    amount_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Minor units a day; empty: only the number counts."
    )
    count = models.PositiveIntegerField(
        null=True, blank=True, help_text="Cases a day, of every currency together; empty: only the amount counts."
    )

    class Meta:
        ordering = ["organization", "scope", "rule", "currency"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_runninglimit_once_a_scope",
                fields=["organization", "scope", "currency"],
                condition=~Q(scope="rule"),
            ),
            models.UniqueConstraint(
                name="approvals_runninglimit_once_a_rule",
                fields=["workflow", "rule", "currency"],
                condition=Q(scope="rule"),
            ),
            models.CheckConstraint(
                name="approvals_runninglimit_limits_something",
                condition=Q(scope__in=["customer", "organization", "rule", "reviewer"])
                & (Q(amount_minor__isnull=False, amount_minor__gte=0) | Q(amount_minor=None, count__isnull=False)),
            ),
            models.CheckConstraint(
                name="approvals_runninglimit_names_its_rule",
                condition=(Q(scope="rule", workflow__isnull=False) & ~Q(rule=""))
                | (~Q(scope="rule") & Q(workflow=None, rule="")),
            ),
        ]

    def __str__(self) -> str:
        parts = [str(self.amount)] if self.amount is not None else []
        parts += [f"{self.count} cases"] if self.count is not None else []
        where = f"where the rule “{self.rule}” holds" if self.rule else self.get_scope_display()
        return f"{' and '.join(parts)} a day {where}"

    @property
    def amount(self) -> Money | None:
        return None if self.amount_minor is None else Money(self.amount_minor, self.currency)


class CeilingQuerySet(models.QuerySet["Ceiling"]):
    def visible_to(self, membership: Membership) -> Self:
        """Ceilings of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)


class Ceiling(models.Model):
    """The most that one person may decide about: a case above it is for somebody else.

    What was set does not change: another amount ends it and sets a new one, so that a case which is open keeps the
    lowest that stood since it was opened.
    """

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="ceilings")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="ceilings")
    currency = models.CharField(max_length=3, help_text="In other currencies the person then decides nothing.")
    amount_minor = models.BigIntegerField(help_text="Minor units: cases above this are for somebody else.")
    set_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[CeilingQuerySet] = CeilingQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["organization", "user", "currency", "-pk"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_ceiling_one_standing",
                fields=["organization", "user", "currency"],
                condition=Q(ended_at=None),
            ),
            models.CheckConstraint(name="approvals_ceiling_is_an_amount", condition=Q(amount_minor__gte=0)),
            models.CheckConstraint(
                name="approvals_ceiling_ends_after_it_was_set",
                condition=Q(ended_at=None) | Q(ended_at__gte=F("set_at")),
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="only_ended_later",
                operation=pgtrigger.UpdateOf("organization_id", "user_id", "currency", "amount_minor", "set_at"),
            ),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.user} up to {self.amount}"

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)
