import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("opsdesk", "0001_heartbeats"),
    ]

    operations = [
        migrations.CreateModel(
            name="Refusals",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(help_text="As in opsdesk/admission.py.", max_length=10, unique=True)),
                ("total", models.BigIntegerField(db_default=0, help_text="Since the desk exists.")),
                (
                    "last_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When the total last grew."
                    ),
                ),
            ],
            options={"ordering": ["kind"], "verbose_name_plural": "refusals"},
        ),
    ]
