"""Intended effects on outside systems."""

import math
import uuid
from datetime import timedelta
from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization
from accounts.veils import unveiled
from integrations.models.connections import Connection
from integrations.models.mirrors import Payment
from integrations.states import ACTION_MOVES, ACTION_WRITTEN_AT_ONCE, ActionState
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states, only_listed_moves
from workflows.models import Authorization, Case, Run


class ActionQuerySet(models.QuerySet["Action"]):
    def visible_to(self, membership: Membership) -> Self:
        """Actions of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def in_doubt(self) -> Self:
        """Actions whose effect is not certain."""
        return self.filter(state__in=[ActionState.SENDING, ActionState.UNKNOWN])


class Action(Movable):
    """One effect we intend: written before the call, with a key that never changes."""

    MOVES = ACTION_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="actions")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="actions")
    step = models.CharField(max_length=40)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, related_name="actions", db_index=False)
    operation = models.CharField(max_length=40)
    moves_money = models.BooleanField(default=True, db_default=True)
    # What moves money has these four, or the database refuses it; nothing else has any of them.
    authorization = models.OneToOneField(Authorization, on_delete=models.PROTECT, null=True, related_name="action")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="actions")
    amount_minor = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    fields = models.JSONField(default=dict, db_default={}, help_text="What the other side is told, by field.")
    # Random, made once: ids repeat after a restore, this does not.
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(max_length=12, choices=ActionState, default=ActionState.RESERVED, editable=False)
    holds_reservation = models.BooleanField(default=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, db_default=Now())
    lease_until = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(default=0)
    first_sent_at = models.DateTimeField(null=True)
    external_reference = models.CharField(max_length=100, blank=True)
    message = models.CharField(max_length=300, blank=True, help_text="What the last try brought, in words.")
    created_at = models.DateTimeField(db_default=Now())
    succeeded_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)

    # Set by the worker that claimed it: whether an earlier try may have reached the other side, how long ago the first
    # one did by the database's clock, and until when it is held by this process's own stopwatch, in seconds.
    sent_before = False
    sent_ago = timedelta(0)
    held_until = math.inf

    objects: ClassVar[ActionQuerySet] = ActionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("integrations_action_known_state", ActionState),
            models.CheckConstraint(name="integrations_action_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="integrations_action_money_is_authorized",
                condition=Q(
                    moves_money=True,
                    authorization__isnull=False,
                    payment__isnull=False,
                    amount_minor__isnull=False,
                    currency__regex="^[A-Z]{3}$",
                )
                | Q(
                    moves_money=False,
                    authorization=None,
                    payment=None,
                    amount_minor=None,
                    currency="",
                    holds_reservation=False,
                ),
            ),
            models.UniqueConstraint(
                name="integrations_action_one_under_way_per_step",
                fields=["case", "step", "connection", "operation"],
                condition=Q(
                    moves_money=False,
                    state__in=[ActionState.RESERVED, ActionState.SENDING, ActionState.UNKNOWN],
                ),
            ),
            models.CheckConstraint(
                name="integrations_action_verified_at_iff_verified",
                condition=Q(state=ActionState.VERIFIED, verified_at__isnull=False)
                | (~Q(state=ActionState.VERIFIED) & Q(verified_at=None)),
            ),
            models.CheckConstraint(
                name="integrations_action_sending_has_lease",
                condition=Q(state=ActionState.SENDING, lease_until__isnull=False) | ~Q(state=ActionState.SENDING),
            ),
        ]
        indexes = [
            models.Index(name="integrations_action_due", fields=["due_at"], condition=Q(due_at__isnull=False)),
            models.Index(
                name="integrations_action_in_doubt",
                fields=["organization", "created_at"],
                condition=Q(state__in=[ActionState.SENDING, ActionState.UNKNOWN]),
            ),
        ]
        triggers = [
            only_listed_moves(ACTION_MOVES, written_at_once=ACTION_WRITTEN_AT_ONCE),
            # What is sent, where to and under which key is settled when the intent is written.
            pgtrigger.Protect(
                name="intent_never_changed",
                operation=pgtrigger.UpdateOf(
                    "authorization_id",
                    "case_id",
                    "connection_id",
                    "payment_id",
                    "operation",
                    "moves_money",
                    "amount_minor",
                    "currency",
                    "fields",
                    "key",
                ),
            ),
            pgtrigger.Protect(name="never_removed", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.what} for CASE-{self.case_id}"

    @property
    def amount(self) -> Money | None:
        """The money it moves; none where it moves none."""
        return Money(self.amount_minor, self.currency) if self.amount_minor is not None else None

    @property
    def what(self) -> str:
        """The effect in a few words: “refund of £20.00”, or “event”."""
        return f"{self.operation} of {self.amount}" if self.moves_money else self.operation
