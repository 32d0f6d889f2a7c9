"""Where notices go besides the app, and how each person wants them."""

import uuid
from datetime import time
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, Team, User
from integrations.secrets import EncryptedField, encrypt, reveal


class ChatChannelQuerySet(models.QuerySet["ChatChannel"]):
    def in_use(self) -> Self:
        """Those that were not taken away."""
        return self.filter(removed_at=None)

    def own_of(self, membership: Membership) -> Self:
        """The member's own."""
        return self.filter(organization_id=membership.organization_id, person_id=membership.user_id)

    def shared_in(self, membership: Membership) -> Self:
        """Those of teams, or of everybody, in the member's organization."""
        return self.filter(organization_id=membership.organization_id, person=None)


class ChatChannel(models.Model):
    """A place in a chat service: of one person, of a team, or of the whole organization. Its address is a secret."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="chat_channels")
    person = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="chat_channels")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="chat_channels")
    name = models.CharField(max_length=60)
    shown = models.CharField(max_length=120, help_text="The service and, where it is no secret, the host.")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    address = EncryptedField(
        bound_to=["organization_id", "key"], blank=True, help_text="Stored encrypted, never shown again."
    )
    kinds = ArrayField(
        models.CharField(max_length=30), default=list, help_text="The kinds of notice that a shared channel is sent."
    )
    added_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True)

    objects: ClassVar[ChatChannelQuerySet] = ChatChannelQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                name="integrations_chatchannel_of_one_or_of_a_team", condition=Q(person=None) | Q(team=None)
            ),
            models.CheckConstraint(
                name="integrations_chatchannel_forgets_its_address",
                condition=(Q(removed_at=None) & ~Q(address="")) | Q(removed_at__isnull=False, address=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def set_address(self, plain: str) -> None:
        """Take an address on, encrypted."""
        self.address = encrypt(plain)

    def address_in_clear(self) -> str:
        """The address itself, for the worker that sends. Raises Undecryptable."""
        return reveal(self, "address")


class How(models.TextChoices):
    """When a notice of some kind goes out over some way."""

    AT_ONCE = "at_once", "At once"
    HOURLY = "hourly", "Once an hour, together"
    DAILY = "daily", "Once a day, together"
    NEVER = "never", "Not this way"


class NoticeSettings(models.Model):
    """How one person wants notices in one organization. Without a row all of it is as it stands here."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="notice_settings")
    rules = models.JSONField(default=dict, help_text="{kind: {way: how}}; what is not named goes out at once.")
    time_zone = models.CharField(max_length=40, blank=True, help_text="IANA zone; empty: the organization's.")
    daily_at = models.TimeField(default=time(8), help_text="When what goes out once a day does.")
    quiet_from = models.TimeField(null=True)
    quiet_until = models.TimeField(null=True)
    most = models.PositiveSmallIntegerField(default=30, help_text="Single messages over one way before they are held.")
    within_minutes = models.PositiveSmallIntegerField(default=10)

    class Meta:
        ordering = ["organization", "user"]
        verbose_name_plural = "notice settings"
        constraints = [
            models.UniqueConstraint(name="integrations_noticesettings_one_each", fields=["organization", "user"]),
            models.CheckConstraint(
                name="integrations_noticesettings_quiet_has_an_end",
                condition=Q(quiet_from=None, quiet_until=None)
                | (Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until"))),
            ),
            models.CheckConstraint(
                name="integrations_noticesettings_lets_some_through",
                condition=Q(most__gte=1, within_minutes__gte=1, within_minutes__lte=1440),
            ),
        ]

    def __str__(self) -> str:
        return f"notices of {self.user}"

    def how(self, kind: str, way: str) -> How:
        """When notices of a kind go out over a way, mail or chat."""
        chosen: Any = self.rules.get(kind, {})
        return How(chosen.get(way, How.AT_ONCE))


def _pressing() -> list[str]:
    return ["leaving"]


class NoticePolicy(models.Model):
    """What the organization says about everybody's notices."""

    organization = models.OneToOneField(Organization, on_delete=models.PROTECT, related_name="notice_policy")
    pressing = ArrayField(
        models.CharField(max_length=30),
        default=_pressing,
        blank=True,
        help_text="Kinds that go out at once in quiet hours too, and are not held back when there are many.",
    )

    class Meta:
        verbose_name_plural = "notice policies"

    def __str__(self) -> str:
        return f"notices of {self.organization}"


PRESSING_BY_DEFAULT = tuple(_pressing())
