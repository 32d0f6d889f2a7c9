"""Messages to people, with the proof that they arrived."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from integrations.models.chat import ChatChannel
from integrations.states import NOTICE_MOVES, NOTICE_WAITING, NoticeState
from opsdesk.lib.states import Movable, known_states
from workflows.models import Case


class NoticeQuerySet(models.QuerySet["Notice"]):
    def visible_to(self, membership: Membership) -> Self:
        """Notices of the member's own organization, but of veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)

    def told_to(self, membership: Membership) -> Self:
        """A person's own notices, as they stand in the app, the newest first."""
        return self.visible_to(membership).filter(recipient_id=membership.user_id, channel="app").order_by("-pk")

    def waiting(self) -> Self:
        """Those that go out, for the first time or again."""
        return self.filter(state__in=NOTICE_WAITING)

    def outward(self) -> Self:
        """Those that leave the desk, by mail or chat."""
        return self.exclude(channel="app")


class Notice(Movable):
    """One message over one channel: to a person, or to the chat channel of a team."""

    MOVES = NOTICE_MOVES

    class Channel(models.TextChoices):
        APP = "app", "in the app"
        MAIL = "mail", "mail"
        CHAT = "chat", "chat"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    recipient = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        related_name="notices",
        db_index=False,
        help_text="Nobody in particular where it goes to the channel of a team.",
    )
    channel = models.CharField(max_length=8, choices=Channel)
    chat = models.ForeignKey(ChatChannel, on_delete=models.PROTECT, null=True, related_name="notices")
    subject = models.CharField(max_length=160)
    body = models.TextField()
    path = models.CharField(max_length=200, help_text="Page of the desk it leads to; opening it decides nothing.")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, related_name="notices")
    topic = models.CharField(max_length=60, help_text="What it is about, as kind:id; at most one a topic and channel.")
    state = models.CharField(max_length=10, choices=NoticeState, default=NoticeState.DUE, editable=False)
    due_at = models.DateTimeField(null=True, db_default=Now())
    bundled = models.BooleanField(
        default=False, db_default=False, help_text="It goes out in one message with others that are due then."
    )
    tried_at = models.DateTimeField(null=True, help_text="When a worker last took it to send it.")
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
                name="integrations_notice_once_a_topic_and_way",
                fields=["topic", "recipient", "channel", "chat"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="integrations_notice_is_for_somebody",
                condition=Q(recipient__isnull=False) | Q(chat__isnull=False),
            ),
            models.CheckConstraint(
                name="integrations_notice_names_its_chat",
                condition=Q(channel="chat", chat__isnull=False) | (~Q(channel="chat") & Q(chat=None)),
            ),
            models.CheckConstraint(
                name="integrations_notice_delivered_at_iff_delivered",
                condition=Q(state=NoticeState.DELIVERED, delivered_at__isnull=False)
                | (~Q(state=NoticeState.DELIVERED) & Q(delivered_at=None)),
            ),
        ]
        indexes = [
            models.Index(
                name="integrations_notice_waiting",
                fields=["due_at"],
                condition=Q(state__in=[NoticeState.DUE, NoticeState.RETRYING]),
            ),
            models.Index(
                name="integrations_notice_given_up",
                fields=["organization", "created_at"],
                condition=Q(state=NoticeState.FAILED),
            ),
            models.Index(
                name="integrations_notice_tried",
                fields=["recipient", "channel", "-tried_at"],
                condition=Q(tried_at__isnull=False),
            ),
            models.Index(
                name="integrations_notice_unread",
                fields=["recipient", "-id"],
                condition=Q(channel="app", read_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def whom(self) -> str:
        """Whom it is for: a person, or a channel."""
        return str(self.recipient or self.chat)

    @property
    def way(self) -> str:
        """How it goes there, in words."""
        return str(self.chat) if self.chat_id else self.get_channel_display()
