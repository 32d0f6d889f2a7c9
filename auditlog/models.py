"""The audit log: append-only rows about who did what, when and why."""

from datetime import timedelta
from typing import ClassVar, Self

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast, Now

from accounts.models import Membership, Organization, User
from auditlog.verbs import words

# No transaction lasts longer.
_LONGEST = timedelta(hours=1)


def _this_transaction() -> Cast:
    """The number of the database's transaction, which never comes back within one database."""
    number = models.Func(function="pg_current_xact_id", output_field=models.TextField())
    return Cast(Cast(number, models.TextField()), models.BigIntegerField())


class ActorKind(models.TextChoices):
    PERSON = "person", "person"
    RUN = "run", "workflow"
    TIMER = "timer", "timer"
    OUTSIDE = "outside", "outside system"
    SYSTEM = "system", "desk"


def append_only(what: str, *, removable: bool = False) -> list[pgtrigger.Trigger]:
    """The triggers of a table whose rows are never changed and never removed; `what` names it in a refusal.

    Where they are `removable`, the database's own functions for retention and erasing are let through.
    """
    refused = "RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;"
    but_for_us = f"""
        IF coalesce(current_setting('auditlog.carrying_out', true), '') = '' THEN
            {refused}
        END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    """
    return [
        pgtrigger.Trigger(
            name="append_only_rows",
            operation=pgtrigger.Update | pgtrigger.Delete,
            when=pgtrigger.Before,
            func=but_for_us,
        )
        if removable
        else pgtrigger.Protect(name="append_only_rows", operation=pgtrigger.Update | pgtrigger.Delete),
        pgtrigger.Trigger(
            name="append_only_table",
            operation=pgtrigger.Truncate,
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            func=f"RAISE EXCEPTION 'pgtrigger: Cannot truncate {what}';",
        ),
    ]


class EntryQuerySet(models.QuerySet["Entry"]):
    def visible_to(self, membership: Membership) -> Self:
        """Entries of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def newest(self) -> Self:
        """For lists: newest first, the wide columns left in the table."""
        return self.order_by("-at", "-pk").defer("before", "after").select_related("user")


class Entry(models.Model):
    """One thing that happened. Never changed and never removed: the database refuses both."""

    id = models.BigAutoField(primary_key=True)
    # The database's own instant of the transaction, so that no worker's clock can back-date.
    at = models.DateTimeField(db_default=Now())
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    actor_kind = models.CharField(max_length=8, choices=ActorKind.choices)
    actor = models.CharField(max_length=120, help_text="Name as it was: a person, “refund v3, step decide”, a timer.")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    verb = models.CharField(max_length=60)
    subject_kind = models.CharField(max_length=30)
    subject_id = models.BigIntegerField()
    case_id = models.BigIntegerField(null=True, help_text="The case it belongs to, for its timeline.")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.TextField()
    request_id = models.CharField(max_length=64)
    # What the database itself saw changing in the same transaction carries the same number.
    transaction = models.BigIntegerField(null=True, db_default=_this_transaction())
    # Goes into the hashes of what may have to be erased, so that nobody can guess it from them afterwards.
    salt = models.UUIDField(null=True, editable=False, db_default=RandomUUID())

    objects: ClassVar[models.Manager["Entry"]] = EntryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "entries"
        indexes = [
            models.Index(name="auditlog_entry_by_time", fields=["organization", "-at", "-id"]),
            models.Index(
                name="auditlog_entry_by_person", fields=["user", "-at", "-id"], condition=Q(user__isnull=False)
            ),
            models.Index(name="auditlog_entry_by_verb", fields=["organization", "verb", "-at", "-id"]),
            models.Index(name="auditlog_entry_by_subject", fields=["organization", "subject_kind", "-at", "-id"]),
            models.Index(name="auditlog_entry_by_case", fields=["case_id", "id"], condition=Q(case_id__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(
                name="auditlog_entry_person_iff_user",
                condition=Q(actor_kind="person", user__isnull=False) | (~Q(actor_kind="person") & Q(user__isnull=True)),
            ),
            models.CheckConstraint(
                name="auditlog_entry_says_who_and_why",
                condition=~Q(actor="") & ~Q(reason="") & ~Q(request_id="") & ~Q(verb=""),
            ),
        ]
        triggers = [
            *append_only("the audit log", removable=True),
            # Before any key is drawn the transaction has its number: so keys below one that is seen belong to
            # transactions that had begun, and the sealer knows for whom to wait (auditlog/seals/sealing.py).
            pgtrigger.Trigger(
                name="numbered_before_its_keys",
                operation=pgtrigger.Insert,
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                func="PERFORM pg_current_xact_id(); RETURN NULL;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.words} {self.subject_kind} {self.subject_id}"

    @property
    def words(self) -> str:
        """The verb as it reads on screen."""
        return words(self.verb)


class ChangeQuerySet(models.QuerySet["Change"]):
    def visible_to(self, membership: Membership) -> Self:
        """Changes of rows of the member's own organization."""
        return self.filter(organization_id=membership.organization_id)

    def behind(self, entry: Entry) -> Self:
        """What the database saw changing in the transaction of an entry, in its order.

        The moment counts too: a database that was put back counts its transactions anew.
        """
        near = (entry.at - _LONGEST, entry.at + _LONGEST)
        return self.filter(transaction=entry.transaction, at__range=near).order_by("pk")


class Change(models.Model):
    """One change of one tracked row as the database saw it, whoever made it and however. Never changed, never removed.

    Written by the triggers of `noting.py` and by nothing else. Keys are plain numbers: what they name may be gone.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    transaction = models.BigIntegerField(db_default=_this_transaction())
    organization_id = models.BigIntegerField(null=True, help_text="None for rows that belong to no organization.")
    kind = models.CharField(max_length=30, help_text="The model's name.")
    row_id = models.BigIntegerField()
    operation = models.CharField(
        max_length=8,
        choices=[("insert", "added"), ("update", "changed"), ("delete", "removed"), ("truncate", "emptied")],
    )
    before = models.JSONField()
    after = models.JSONField()
    actor = models.TextField(help_text="As the desk's process said, or else the database user and application.")
    user_id = models.BigIntegerField(null=True)
    request_id = models.TextField()
    database_user = models.CharField(max_length=63, help_text="The role that was connected; nobody can say another.")

    objects: ClassVar[models.Manager["Change"]] = ChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(name="auditlog_change_together", fields=["transaction"])]
        constraints = [
            models.CheckConstraint(
                name="auditlog_change_says_who", condition=~Q(actor="") & ~Q(request_id="") & ~Q(database_user="")
            )
        ]
        triggers = append_only("the audit log")

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id} {self.get_operation_display()}"


class Seal(models.Model):
    """Some entries, closed: the hash of each, one over all of these, and the head of the seal before.

    Whoever has a head from outside can tell whether anything before it was changed, removed or added since.
    """

    number = models.BigIntegerField(primary_key=True)
    form = models.PositiveSmallIntegerField(default=1, help_text="The canonical form in which entries are hashed.")
    after_id = models.BigIntegerField(help_text="It holds the entries after this one.")
    last_id = models.BigIntegerField(help_text="Its last entry.")
    count = models.PositiveIntegerField()
    leaves = models.BinaryField(help_text="For each entry its number in 8 bytes and its hash in 32.")
    root = models.BinaryField(help_text="The root of the Merkle tree over the hashes.")
    previous = models.BinaryField(help_text="The head of the seal before; 32 zeros before the first.")
    head = models.BinaryField(help_text="The hash of all of the above.")
    sealed_at = models.DateTimeField()

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


class Mark(models.Model):
    """Up to which entry seals may go as soon as every transaction is over that had begun when it was set."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    last_id = models.BigIntegerField()
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


class Erasure(models.Model):
    """What is kept of erased texts of an entry so that its seal still verifies: their hashes, and not their keys.

    Written by the database's function `auditlog_erase` only, together with the erasing.
    """

    entry_id = models.BigIntegerField(primary_key=True)
    hashes = models.JSONField(help_text="Of each erased field the hash that was sealed.")
    keys = models.JSONField(help_text="Of every other field the key it was hashed under; the salt is gone.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        triggers = append_only("the record of what was erased", removable=True)

    def __str__(self) -> str:
        return f"erasure in entry {self.entry_id}"


class RetentionPolicy(models.Model):
    """For how long an organization keeps one kind of record."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=30)
    days = models.PositiveIntegerField(help_text="What is older is removed for good, unless a legal hold keeps it.")
    enabled = models.BooleanField(default=True, help_text="Off: nothing of this kind is removed.")

    class Meta:
        ordering = ["organization", "kind"]
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(name="auditlog_policy_once_per_kind", fields=["organization", "kind"]),
            models.CheckConstraint(name="auditlog_policy_keeps_a_month", condition=Q(days__gte=30)),
        ]

    def __str__(self) -> str:
        return f"{self.kind}, {self.days} days"


class LegalHold(models.Model):
    """Nothing of a case, or of any case of a customer, is removed while this stands."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    case_id = models.BigIntegerField("case", null=True, blank=True, help_text="Number of the case, without CASE-.")
    party = models.CharField(
        "customer", max_length=100, blank=True, help_text="Customer number: holds all of the customer's cases."
    )
    lifted = models.BooleanField(default=False, help_text="Ticked: it holds nothing any more.")
    set_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="auditlog_hold_names_a_case_or_a_customer",
                condition=Q(case_id__isnull=False, party="") | (Q(case_id=None) & ~Q(party="")),
                violation_error_message="Name a case or a customer, one of the two.",
            )
        ]

    def __str__(self) -> str:
        return f"CASE-{self.case_id}" if self.case_id else f"customer {self.party}"


class Removal(models.Model):
    """What retention took out from below one seal; the tombstone, an entry, says the same under a seal of its own."""

    seal_number = models.BigIntegerField(db_index=True)
    keys = ArrayField(models.BigIntegerField())
    digest = models.CharField(max_length=64, help_text="The hash over the hashes of what was removed.")
    tombstone_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]
        triggers = append_only("the record of what was removed")

    def __str__(self) -> str:
        return f"{len(self.keys)} entries of seal {self.seal_number}"
