from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models

from opsdesk.lib.migrating import AddIndexPatiently


class Migration(migrations.Migration):
    """The log is read in the order of time. Built beside the writers, which go on meanwhile."""

    atomic = False
    dependencies = [("auditlog", "0002_what_the_database_saw")]

    operations = [
        AddIndexPatiently(
            model_name="entry",
            index=models.Index(fields=["organization", "-at", "-id"], name="auditlog_entry_by_time"),
        ),
        AddIndexPatiently(
            model_name="entry",
            index=models.Index(
                fields=["user", "-at", "-id"],
                name="auditlog_entry_by_person",
                condition=models.Q(("user__isnull", False)),
            ),
        ),
        AddIndexPatiently(
            model_name="entry",
            index=models.Index(fields=["organization", "verb", "-at", "-id"], name="auditlog_entry_by_verb"),
        ),
        AddIndexPatiently(
            model_name="entry",
            index=models.Index(fields=["organization", "subject_kind", "-at", "-id"], name="auditlog_entry_by_subject"),
        ),
        RemoveIndexConcurrently(model_name="entry", name="auditlog_entry_by_organization"),
    ]
