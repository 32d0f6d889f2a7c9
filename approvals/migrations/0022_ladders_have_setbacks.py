"""Ladders that stand do so as any other timer. Code of the release before still reads and fills the two columns."""

from typing import Any

from django.db import migrations
from django.db.models.functions import Now


def carry_over(apps: Any, schema_editor: Any) -> None:
    """A setback for each ladder that stands; it is due, so that it goes on where somebody lets it."""
    reviews, setbacks = apps.get_model("approvals", "Review").objects, apps.get_model("approvals", "Setback").objects
    for review in reviews.filter(state="open").exclude(rung_problem=""):
        setbacks.get_or_create(
            review=review,
            timer="ladder",
            defaults={
                "organization_id": review.organization_id,
                "tries": review.rung_tries,
                "again_at": None,
                "problem": review.rung_problem,
            },
        )
        reviews.filter(pk=review.pk).update(rung_due_at=Now())


class Migration(migrations.Migration):
    dependencies = [("approvals", "0021_setbacks")]

    operations = [
        migrations.RunPython(carry_over, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField(model_name="review", name="rung_tries"),
                migrations.RemoveField(model_name="review", name="rung_problem"),
            ]
        ),
    ]
