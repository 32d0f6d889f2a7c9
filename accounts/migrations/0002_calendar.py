"""The business calendar comes here from `approvals`; the table stays where it is, with its rows and its name."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_people_and_organizations'),
        ('approvals', '0002_calendar_moves'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='BusinessCalendar',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('weekdays', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), default=list, help_text='Working days: 0 is Monday, 6 is Sunday.', size=None)),
                        ('opens_at', models.TimeField(help_text="Local wall time in the organization's zone.")),
                        ('closes_at', models.TimeField(help_text='Local wall time; 00:00 means midnight at the end of the day.')),
                        ('holidays', django.contrib.postgres.fields.ArrayField(base_field=models.DateField(), blank=True, default=list, help_text='Days on which nobody works.', size=None)),
                        ('organization', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='calendar', to='accounts.organization')),
                    ],
                    options={
                        'db_table': 'approvals_businesscalendar',
                        'constraints': [models.CheckConstraint(condition=models.Q(('closes_at', '00:00'), ('opens_at__lt', models.F('closes_at')), _connector='OR'), name='approvals_calendar_opens_before_it_closes')],
                    },
                ),
            ],
        ),
    ]
