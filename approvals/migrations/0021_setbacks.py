"""What a timer of a review remembers of breaking: how often it was tried, and why it stands."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_audit_kept_apart"),
        ("approvals", "0020_ladders_that_stand"),
    ]

    operations = [
        migrations.CreateModel(
            name="Setback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "timer",
                    models.CharField(
                        choices=[
                            ("settle", "Carrying the decision out"),
                            ("leave", "Letting it leave"),
                            ("window", "Starting its clock"),
                            ("untold", "Asking people, since no notice arrived,"),
                            ("wake", "Putting it back into the queue"),
                            ("give", "Giving it to somebody"),
                            ("ladder", "Its ladder"),
                        ],
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(help_text="How often it broke in a row.")),
                (
                    "again_at",
                    models.DateTimeField(
                        help_text="When it is tried again; empty: once somebody lets it go on.", null=True
                    ),
                ),
                ("problem", models.CharField(help_text="What broke, in words.", max_length=300)),
                (
                    "broke_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When it broke first."
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.organization",
                    ),
                ),
                (
                    "review",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="setbacks",
                        to="approvals.review",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("again_at", None)),
                        fields=["organization", "broke_at"],
                        name="approvals_setback_standing",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("timer__in", ["settle", "leave", "window", "untold", "wake", "give", "ladder"])
                        ),
                        name="approvals_setback_known_timer",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("problem", ""), _negated=True), name="approvals_setback_says_what_broke"
                    ),
                    models.UniqueConstraint(fields=("review", "timer"), name="approvals_setback_one_a_timer"),
                ],
            },
        ),
    ]
