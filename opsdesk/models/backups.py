"""Which backups were written, which failed, and which were put back on trial."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Backup(models.Model):
    """One time that a backup was written, or tried to be.

    Nobody owns these rows: a backup holds every organization. A restored desk knows of the one it was made from.
    """

    name = models.CharField(max_length=60, unique=True, help_text="The name of its folder.")
    place = models.CharField(max_length=500, help_text="Where that folder was written.")
    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="Empty: it is being written, or its process died.")
    size = models.BigIntegerField(default=0, help_text="Bytes of its files.")
    rows = models.BigIntegerField(default=0, help_text="Rows of all tables.")
    trouble = models.CharField(max_length=500, blank=True, help_text="Why there is none, in words.")
    tried_at = models.DateTimeField(null=True, help_text="When it was last put back, on trial or in earnest.")
    tried_trouble = models.CharField(max_length=500, blank=True, help_text="Why that failed, in words.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="opsdesk_backup_trouble_once_it_ended", condition=Q(trouble="") | Q(ended_at__isnull=False)
            ),
            models.CheckConstraint(
                name="opsdesk_backup_trial_has_its_moment", condition=Q(tried_trouble="") | Q(tried_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name
