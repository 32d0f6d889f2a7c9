"""Indexes that leave out what is over, for lists of what waits, made while the desk goes on."""

from django.db import migrations, models
from django.db.models import Q

from opsdesk.lib.migrating import AddIndexPatiently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("approvals", "0018_tier_editions")]

    operations = [
        AddIndexPatiently(
            model_name="review",
            index=models.Index(
                name="approvals_review_mine", fields=["assignee", "due_at", "id"], condition=Q(state="open")
            ),
        ),
        AddIndexPatiently(
            model_name="review",
            index=models.Index(
                name="approvals_review_resting",
                fields=["organization", "due_at", "id"],
                condition=Q(state="asked") | Q(state="open", snoozed_until__isnull=False),
            ),
        ),
        AddIndexPatiently(
            model_name="review",
            index=models.Index(
                name="approvals_review_unfinished",
                fields=["organization", "opened_at"],
                condition=~Q(state__in=["approved", "rejected", "void"]),
            ),
        ),
    ]
