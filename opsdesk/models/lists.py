"""How people look at lists: filters under a name, and which columns they want to see."""

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now

from accounts.models import Membership, Organization, User


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, membership: Membership) -> Self:
        """One's own, and those that were shared with the organization."""
        ours = self.filter(organization_id=membership.organization_id)
        return ours.filter(Q(owner_id=membership.user_id) | Q(shared=True))

    def in_order(self) -> Self:
        """As the rail lists them: the organization's, then one's own."""
        return self.order_by("-shared", "position", "pk")


class SavedView(models.Model):
    """The filters of a list page under a name: its owner's alone, or everybody's of the organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    page = models.CharField(max_length=20, help_text="Key of the list page, as in opsdesk/lists.")
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=600, blank=True, help_text="The filters, as the address of the page has them.")
    shared = models.BooleanField(default=False, help_text="Whether the whole organization sees it.")
    position = models.PositiveIntegerField(default=0)
    saved_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[SavedViewQuerySet] = SavedViewQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint("organization", "owner", "page", Lower("name"), name="opsdesk_savedview_name_once"),
            models.CheckConstraint(name="opsdesk_savedview_has_a_name", condition=~Q(name="")),
        ]
        indexes = [models.Index(name="opsdesk_savedview_rail", fields=["organization", "position", "id"])]

    def __str__(self) -> str:
        return self.name


class ListLook(models.Model):
    """Which columns of a list one person wants to see, and how close together its rows stand."""

    class Density(models.TextChoices):
        ROOMY = "roomy", "Roomy"
        CLOSE = "close", "Close together"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    page = models.CharField(max_length=20, help_text="Key of the list page, as in opsdesk/lists.")
    columns = ArrayField(models.CharField(max_length=20), default=list, help_text="Keys; empty: the usual ones.")
    density = models.CharField(max_length=5, choices=Density, default=Density.ROOMY)

    class Meta:
        ordering = ["user", "page"]
        constraints = [
            models.UniqueConstraint(name="opsdesk_listlook_one_per_list", fields=["user", "page"]),
            models.CheckConstraint(name="opsdesk_listlook_known_density", condition=Q(density__in=["roomy", "close"])),
        ]

    def __str__(self) -> str:
        return f"{self.page} of {self.user}"
