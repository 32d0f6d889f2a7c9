"""Seals over the log, where their heads went, and what looks at them found."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from auditlog.models.entries import append_only


class Seal(models.Model):
    """Some entries, closed: the hash of each, one over all of these, and the head of the seal before.

    Whoever has a head from outside can tell whether anything before it was changed, removed or added since.
    """

    number = models.BigIntegerField(primary_key=True)
    form = models.PositiveSmallIntegerField(default=1, help_text="The canonical form in which it is hashed.")
    after_id = models.BigIntegerField(help_text="It holds the entries after this one.")
    last_id = models.BigIntegerField(help_text="Its last entry.")
    count = models.PositiveIntegerField()
    leaves = models.BinaryField(help_text="For each entry its number in 8 bytes and its hash in 32.")
    root = models.BinaryField(help_text="The root of the Merkle tree over the hashes.")
    previous = models.BinaryField(help_text="The head of the seal before; 32 zeros before the first.")
    head = models.BinaryField(help_text="The hash of all of the above.")
    sealed_at = models.DateTimeField()
    # Since form 2: the newest seal over what the database saw, so that this head covers that chain too.
    changes_number = models.BigIntegerField(default=0, db_default=0)
    changes_head = models.BinaryField(null=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(name="auditlog_seal_one_follows_each", fields=["previous"]),
            models.UniqueConstraint(name="auditlog_seal_ends_once", fields=["last_id"]),
            models.CheckConstraint(
                name="auditlog_seal_holds_something",
                condition=Q(count__gt=0, last_id__gt=models.F("after_id"), number__gt=0, after_id__gte=0),
            ),
        ]
        triggers = [
            *append_only("the seals"),
            pgtrigger.Trigger(
                name="follows_the_one_before",
                operation=pgtrigger.Insert,
                when=pgtrigger.Before,
                condition=pgtrigger.Q(new__number__gt=1) | pgtrigger.Q(new__after_id__gt=0),
                func="""
                    IF NOT EXISTS (
                        SELECT 1 FROM auditlog_seal
                        WHERE number = NEW.number - 1 AND head = NEW.previous AND last_id = NEW.after_id
                    ) THEN
                        RAISE EXCEPTION 'pgtrigger: A seal follows the one before' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"seal {self.number}"


class ChangeSeal(models.Model):
    """Some of what the database saw changing, closed like entries in a chain of its own.

    The seals over entries name its newest head, so whoever has one head from outside has both.
    """

    number = models.BigIntegerField(primary_key=True)
    after_id = models.BigIntegerField(help_text="It holds the changes after this one.")
    last_id = models.BigIntegerField(help_text="Its last change.")
    count = models.PositiveIntegerField()
    leaves = models.BinaryField(help_text="For each change its number in 8 bytes and its hash in 32.")
    root = models.BinaryField(help_text="The root of the Merkle tree over the hashes.")
    previous = models.BinaryField(help_text="The head of the one before; 32 zeros before the first.")
    head = models.BinaryField(help_text="The hash of all of the above.")
    sealed_at = models.DateTimeField()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(name="auditlog_changeseal_one_follows_each", fields=["previous"]),
            models.UniqueConstraint(name="auditlog_changeseal_ends_once", fields=["last_id"]),
            models.CheckConstraint(
                name="auditlog_changeseal_holds_something",
                condition=Q(count__gt=0, last_id__gt=models.F("after_id"), number__gt=0, after_id__gte=0),
            ),
        ]
        triggers = append_only("the seals")

    def __str__(self) -> str:
        return f"seal {self.number} over changes"


class Mark(models.Model):
    """Up to which entry seals may go as soon as every transaction is over that had begun when it was set."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    last_id = models.BigIntegerField()
    last_change_id = models.BigIntegerField(default=0, db_default=0)
    horizon = models.BigIntegerField(help_text="Transactions with a lower number had begun.")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="auditlog_mark_is_one", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"up to entry {self.last_id}"


class Handing(models.Model):
    """One try to hand the newest head to somebody outside."""

    at = models.DateTimeField(db_default=Now())
    seal_number = models.BigIntegerField()
    head = models.BinaryField()
    outlet = models.CharField(max_length=20, help_text="How: file, mail, webhook.")
    target = models.CharField(max_length=300, help_text="Where to.")
    trouble = models.CharField(max_length=300, blank=True, help_text="Why it was not taken; empty when it was.")

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(name="auditlog_handing_by_outlet", fields=["outlet", "-id"])]
        triggers = append_only("the record of what was handed out")

    def __str__(self) -> str:
        return f"head of seal {self.seal_number} by {self.outlet}"


class Verification(models.Model):
    """One look whether the log is whole. It goes on in pieces; what it found stays."""

    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, help_text="When the last seal was looked at, or the first break found.")
    asked_by = models.CharField(max_length=20, default="timer")
    next_seal = models.BigIntegerField(default=1)
    entries = models.BigIntegerField(default=0)
    changes = models.BigIntegerField(default=0, db_default=0)
    heads = models.IntegerField(default=0, help_text="Heads from outside that were compared.")
    found = models.TextField(blank=True, help_text="The first broken place; empty when there is none.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                name="auditlog_verification_one_under_way", fields=["asked_by"], condition=Q(ended_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"verification of {self.begun_at:%Y-%m-%d %H:%M}"

    @property
    def words(self) -> str:
        """How much was looked at, in both chains."""
        return f"{self.entries:,} entries and {self.changes:,} changes"
