"""Copies of records of outside systems, kept so that facts need no call each."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now, Upper

from accounts.models import Organization
from integrations.models.connections import Connection
from opsdesk.lib.money import Money


class Customer(models.Model):
    """A customer as the shop knows it."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    reference = models.CharField(max_length=60)
    name = models.CharField(max_length=120, blank=True)
    country = models.CharField(max_length=60, blank=True)
    since = models.DateTimeField(null=True, help_text="First order.")
    read_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["organization", "reference"]
        constraints = [models.UniqueConstraint(name="integrations_customer_once", fields=["organization", "reference"])]
        indexes = [GinIndex(OpClass(Upper("name"), name="gin_trgm_ops"), name="integrations_customer_words")]

    def __str__(self) -> str:
        return self.name or self.reference


class Order(models.Model):
    """An order as the shop knows it."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.CharField(max_length=60)
    customer = models.CharField(max_length=60, blank=True, help_text="Customer reference.")
    placed_at = models.DateTimeField()
    total_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    payment = models.CharField(max_length=100, blank=True, help_text="Gateway reference of its payment.")
    read_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-placed_at"]
        constraints = [models.UniqueConstraint(name="integrations_order_once", fields=["organization", "number"])]
        indexes = [models.Index(name="integrations_order_by_customer", fields=["organization", "customer"])]

    def __str__(self) -> str:
        return self.number

    @property
    def total(self) -> Money:
        return Money(self.total_minor, self.currency)


class OrderLine(models.Model):
    """One article in an order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    sku = models.CharField(max_length=40)
    description = models.CharField(max_length=120)
    quantity = models.IntegerField()
    unit_price_minor = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.description}"

    @property
    def unit_price(self) -> Money:
        return Money(self.unit_price_minor, self.order.currency)


class Payment(models.Model):
    """A payment at a gateway: what was captured, what we hold for intents under way, what has gone back."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="payments", db_index=False)
    reference = models.CharField(max_length=100)
    order = models.CharField(max_length=60, blank=True)
    customer = models.CharField(max_length=60, blank=True)
    currency = models.CharField(max_length=3)
    captured_minor = models.BigIntegerField()
    reserved_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    # Money that went back past the desk can eat into what we hold; then nothing more may be reserved.
    overbooked = models.BooleanField(default=False)
    read_at = models.DateTimeField(null=True, help_text="When the gateway was last asked.")
    reread_at = models.DateTimeField(null=True, help_text="Set by news from the gateway: ask again, from then on.")
    told_refunded_minor = models.BigIntegerField(
        null=True, help_text="How much went back by the last news; asking is needless once the desk says the same."
    )

    class Meta:
        ordering = ["connection", "reference"]
        constraints = [
            models.UniqueConstraint(name="integrations_payment_once", fields=["connection", "reference"]),
            models.CheckConstraint(
                name="integrations_payment_never_below_zero",
                condition=Q(captured_minor__gte=0, reserved_minor__gte=0, refunded_minor__gte=0),
            ),
            models.CheckConstraint(
                name="integrations_payment_within_captured",
                condition=Q(overbooked=True) | Q(captured_minor__gte=F("reserved_minor") + F("refunded_minor")),
            ),
        ]
        indexes = [
            models.Index(
                name="integrations_payment_to_reread",
                fields=["reread_at"],
                condition=Q(reread_at__isnull=False),
            ),
            models.Index(name="integrations_payment_by_order", fields=["organization", "order"]),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def captured(self) -> Money:
        return Money(self.captured_minor, self.currency)

    @property
    def refunded(self) -> Money:
        return Money(self.refunded_minor, self.currency)

    @property
    def left(self) -> Money:
        """What could still be refunded."""
        return Money(max(self.captured_minor - self.reserved_minor - self.refunded_minor, 0), self.currency)


class Refund(models.Model):
    """A refund as the gateway knows it, ours or not; each counts once."""

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    reference = models.CharField(max_length=100)
    customer = models.CharField(max_length=60, blank=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=10, choices=Status)
    cancelable = models.BooleanField(
        default=False, db_default=False, help_text="It has not left, and the gateway lets it be called off."
    )
    created_at = models.DateTimeField()

    objects: ClassVar[models.Manager["Refund"]] = models.Manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(name="integrations_refund_once", fields=["payment", "reference"]),
            models.CheckConstraint(name="integrations_refund_amount_positive", condition=Q(amount_minor__gt=0)),
        ]
        indexes = [
            models.Index(name="integrations_refund_customer", fields=["organization", "customer", "-created_at"])
        ]

    def __str__(self) -> str:
        return self.reference
