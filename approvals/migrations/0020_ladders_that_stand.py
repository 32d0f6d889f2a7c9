"""What a ladder remembers of a rung that breaks: how often it was tried, and why it stands."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0019_long_lists")]

    operations = [
        migrations.AddField(
            model_name="review",
            name="rung_tries",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="How often the rung that is due broke in a row."
            ),
        ),
        migrations.AddField(
            model_name="review",
            name="rung_problem",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why its ladder stands still, where it does.",
                max_length=300,
            ),
        ),
    ]
