"""What arrived, and what is worked on."""

import hashlib
import json
from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import Q, TextField, Value
from django.db.models.functions import Concat, Now, Upper

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from opsdesk.lib.money import Money
from opsdesk.lib.states import Movable, known_states
from workflows.states import CASE_FINAL, CASE_MOVES, EVENT_MOVES, CaseState, EventState

# What a search for words looks at: one text a case, under one index.
SEARCHED = Concat(
    "key", Value(" "), "party", Value(" "), "party_name", Value(" "), "target", Value(" "), "reason", Value(" "),
    "requested_by", output_field=TextField(),
)  # fmt: skip


class EventQuerySet(models.QuerySet["Event"]):
    def visible_to(self, membership: Membership) -> Self:
        """Events of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)


class Event(Movable):
    """A fact that arrived, stored byte for byte before anything else happens."""

    MOVES = EVENT_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    source = models.CharField(max_length=100, help_text="Endpoint it came through, as organization/endpoint.")
    dedupe_key = models.CharField(max_length=200)
    reader = models.CharField(max_length=30, help_text="Name of the registered reader that understands the body.")
    body = models.BinaryField()
    body_hash = models.CharField(max_length=64)
    received_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=12, choices=EventState, default=EventState.RECEIVED, editable=False)
    type = models.CharField(max_length=80, blank=True)
    reason = models.CharField(
        max_length=300, blank=True, help_text="Why it was ignored or quarantined, or what it did."
    )
    case = models.ForeignKey("Case", on_delete=models.PROTECT, null=True, related_name="events")
    looked_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["Event"]] = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_event_known_state", EventState),
            models.UniqueConstraint(name="workflows_event_once_per_source", fields=["source", "dedupe_key"]),
            models.CheckConstraint(
                name="workflows_event_set_aside_with_reason",
                condition=~Q(state__in=[EventState.IGNORED, EventState.QUARANTINED]) | ~Q(reason=""),
            ),
        ]
        indexes = [
            models.Index(name="workflows_event_to_look_at", fields=["id"], condition=Q(state=EventState.RECEIVED)),
            models.Index(name="workflows_event_quarantine", fields=["-id"], condition=Q(state=EventState.QUARANTINED)),
        ]

    def __str__(self) -> str:
        return f"event {self.pk} from {self.source}"


class CaseQuerySet(models.QuerySet["Case"]):
    def visible_to(self, membership: Membership) -> Self:
        """Cases of the member's own organization, but those of which they must not see yet what became."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership, "pk")

    def open(self) -> Self:
        """Cases that somebody or something still has to finish."""
        return self.exclude(state__in=CASE_FINAL)


class Case(Movable):
    """The thing being worked on: for the refund workflow, one request for money back."""

    MOVES = CASE_MOVES

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="cases", db_index=False)
    kind = models.SlugField(max_length=30)
    key = models.CharField(max_length=100, help_text="The sender's own number: one case each.")
    state = models.CharField(max_length=10, choices=CaseState, default=CaseState.OPEN, editable=False)
    party = models.CharField(max_length=100, blank=True, help_text="Customer number, as the sender gave it.")
    party_name = models.CharField(max_length=120, blank=True)
    amount_minor = models.BigIntegerField(null=True, help_text="Minor units; empty when the sent amount is not one.")
    currency = models.CharField(max_length=3, blank=True)
    target = models.CharField(max_length=100, blank=True, help_text="Payment the money would go back to.")
    reason = models.CharField(max_length=60, blank=True, help_text="Reason the requester gave.")
    requested_by = models.CharField(max_length=120, blank=True)
    requested_by_user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    requested_at = models.DateTimeField(null=True)
    data = models.JSONField(default=dict, help_text="The request as it was sent or corrected.")
    problems = models.JSONField(default=list, help_text="What is wrong with the data, in sentences.")
    standing = models.CharField(max_length=200, blank=True, help_text="Where it stands, in words.")
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)

    objects: ClassVar[CaseQuerySet] = CaseQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("workflows_case_known_state", CaseState),
            models.UniqueConstraint(name="workflows_case_key_once", fields=["organization", "kind", "key"]),
            models.CheckConstraint(
                name="workflows_case_closed_at_iff_final",
                condition=Q(state__in=sorted(CASE_FINAL), closed_at__isnull=False)
                | (~Q(state__in=sorted(CASE_FINAL)) & Q(closed_at=None)),
            ),
            models.CheckConstraint(
                name="workflows_case_amount_positive",
                condition=Q(amount_minor=None) | Q(amount_minor__gt=0, currency__regex="^[A-Z]{3}$"),
            ),
        ]
        indexes = [
            models.Index(name="workflows_case_by_party", fields=["organization", "party", "-id"]),
            models.Index(name="workflows_case_by_target", fields=["organization", "target"]),
            models.Index(name="workflows_case_by_key", fields=["organization", "key"]),
            models.Index(name="workflows_case_by_amount", fields=["organization", "currency", "amount_minor", "-id"]),
            models.Index(name="workflows_case_list", fields=["organization", "-id"]),
            GinIndex(OpClass(Upper(SEARCHED), name="gin_trgm_ops"), name="workflows_case_words"),
            models.Index(name="workflows_case_closed", fields=["organization", "-closed_at"]),
            models.Index(
                name="workflows_case_open",
                fields=["organization", "id"],
                condition=~Q(state__in=sorted(CASE_FINAL)),
            ),
        ]

    def __str__(self) -> str:
        return f"CASE-{self.pk}"

    @property
    def amount(self) -> Money | None:
        """The amount asked for; none where the sent one could not be read."""
        return Money(self.amount_minor, self.currency) if self.amount_minor is not None else None

    @property
    def who(self) -> str:
        """The customer as the screen names it."""
        return self.party_name or (f"Customer {self.party}" if self.party else "No customer named")

    def content_hash(self, facts: dict[str, Any], amount_minor: int | None = None) -> str:
        """What a decision and a vote are about: the request, and the facts that were gathered for it (hex SHA-256).

        `amount_minor`: what is consented to, in minor units; where it is not all that is asked, the hash is over both.
        """
        return hashlib.sha256(self.content_text(facts, amount_minor).encode()).hexdigest()

    def content_text(self, facts: dict[str, Any], amount_minor: int | None = None) -> str:
        """The text over which `content_hash` is."""
        values = {name: fact.get("value") for name, fact in facts.items()}
        content = [
            self.organization_id, self.kind, self.key, self.amount_minor, self.currency, self.target, self.party,
            self.data, values,
        ]  # fmt: skip
        if amount_minor is not None and amount_minor != self.amount_minor:
            content.append(amount_minor)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Correction(models.Model):
    """A person's change to the content of a case. Whoever corrects does not vote on the result."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="corrections")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    before = models.JSONField()
    after = models.JSONField()
    reason = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"correction of {self.case} by {self.user}"
