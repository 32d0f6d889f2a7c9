"""The business calendar leaves for `accounts`; its table stays, and accounts 0002 takes it over."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0001_consent'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name='BusinessCalendar')]),
    ]
