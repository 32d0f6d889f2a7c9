"""What colleagues say to each other about a case."""

from typing import ClassVar, Self

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled
from workflows.models import Case

LONGEST_COMMENT = 2_000  # characters


class CommentQuerySet(models.QuerySet["Comment"]):
    def visible_to(self, membership: Membership) -> Self:
        """Comments in the member's own organization, but about veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership)


class Comment(models.Model):
    """One remark in the conversation about a case, and the colleagues it names; never changed."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())
    mentioned = models.ManyToManyField(User, related_name="+")

    objects: ClassVar[CommentQuerySet] = CommentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["pk"]
        constraints = [models.CheckConstraint(name="approvals_comment_says_something", condition=~Q(text=""))]
        triggers = [pgtrigger.Protect(name="never_changed", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"comment on CASE-{self.case_id}"
