"""Messages to people, with the proof that they arrived."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Organization, User
from integrations.states import NOTICE_MOVES, NoticeState
from opsdesk.lib.states import Movable, known_states
from workflows.models import Case


class NoticeQuerySet(models.QuerySet["Notice"]):
    def visible_to_user(self, user: User) -> Self:
        """A person's own notices."""
        return self.filter(recipient=user)


class Notice(Movable):
    """One message to one person over one channel."""

    MOVES = NOTICE_MOVES

    class Channel(models.TextChoices):
        APP = "app", "in the app"
        MAIL = "mail", "mail"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    recipient = models.ForeignKey(User, on_delete=models.PROTECT, related_name="notices", db_index=False)
    channel = models.CharField(max_length=8, choices=Channel)
    subject = models.CharField(max_length=160)
    body = models.TextField()
    path = models.CharField(max_length=200, help_text="Page of the desk it leads to; opening it decides nothing.")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="notices")
    topic = models.CharField(max_length=60, help_text="What it is about, as kind:id; at most one a topic and channel.")
    state = models.CharField(max_length=10, choices=NoticeState, default=NoticeState.DUE, editable=False)
    due_at = models.DateTimeField(null=True, db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    message = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)

    objects: ClassVar[NoticeQuerySet] = NoticeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        constraints = [
            known_states("integrations_notice_known_state", NoticeState),
            models.UniqueConstraint(
                name="integrations_notice_once_per_topic", fields=["topic", "recipient", "channel"]
            ),
            models.CheckConstraint(
                name="integrations_notice_delivered_at_iff_delivered",
                condition=Q(state=NoticeState.DELIVERED, delivered_at__isnull=False)
                | (~Q(state=NoticeState.DELIVERED) & Q(delivered_at=None)),
            ),
        ]
        indexes = [
            models.Index(name="integrations_notice_due", fields=["due_at"], condition=Q(state=NoticeState.DUE)),
            models.Index(
                name="integrations_notice_unread",
                fields=["recipient", "-id"],
                condition=Q(channel="app", read_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.subject
