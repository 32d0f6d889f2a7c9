"""How much may go out by itself in a day: to one customer, and in all."""

from django.db import models
from django.db.models import Q

from accounts.models import Organization
from opsdesk.lib.money import Money


class RunningLimit(models.Model):
    """What may leave without a person in one local day; whatever would pass it waits for people, nothing stops."""

    class Scope(models.TextChoices):
        CUSTOMER = "customer", "to one customer"
        ORGANIZATION = "organization", "in all"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="running_limits")
    scope = models.CharField(max_length=12, choices=Scope)
    currency = models.CharField(max_length=3, help_text="Sums are of this currency; whatever has no limit waits.")
    amount_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Minor units a day; empty: only the number counts."
    )
    count = models.PositiveIntegerField(
        null=True, blank=True, help_text="Cases a day, of every currency together; empty: only the amount counts."
    )

    class Meta:
        ordering = ["organization", "scope", "currency"]
        constraints = [
            models.UniqueConstraint(name="approvals_runninglimit_once", fields=["organization", "scope", "currency"]),
            models.CheckConstraint(
                name="approvals_runninglimit_limits_something",
                condition=Q(scope__in=["customer", "organization"])
                & (Q(amount_minor__isnull=False, amount_minor__gte=0) | Q(amount_minor=None, count__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        parts = [str(self.amount)] if self.amount is not None else []
        parts += [f"{self.count} cases"] if self.count is not None else []
        return f"{' and '.join(parts)} a day {self.get_scope_display()}"

    @property
    def amount(self) -> Money | None:
        return None if self.amount_minor is None else Money(self.amount_minor, self.currency)
