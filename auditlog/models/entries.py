"""Entries: who did what, when and why; and beneath them what the database itself saw changing."""

from datetime import timedelta
from typing import ClassVar, Self

import pgtrigger
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast, Now

from accounts.models import Membership, Organization, User
from accounts.veils import unveiled, veiled_cases
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
        """Entries of the member's own organization, but about veiled cases."""
        return unveiled(self.filter(organization_id=membership.organization_id), membership, "case_id")

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
        """Changes of rows of the member's own organization, but of transactions that did something for a veiled case.

        Changed rows do not say whose they are; the entries of their transaction do.
        """
        ours, hidden = self.filter(organization_id=membership.organization_id), veiled_cases(membership)
        if not hidden:
            return ours
        told = Entry.objects.filter(case_id__in=hidden, transaction__isnull=False)
        return ours.exclude(transaction__in=told.values("transaction"))

    def behind(self, entry: Entry) -> Self:
        """What the database saw changing in the transaction of an entry, in its order.

        The moment counts too: a database that was put back counts its transactions anew.
        """
        near = (entry.at - _LONGEST, entry.at + _LONGEST)
        return self.filter(transaction=entry.transaction, at__range=near).order_by("pk")


class Change(models.Model):
    """One change of one tracked row as the database saw it, whoever made it and however. Never changed.

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
        triggers = append_only("the audit log", removable=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id} {self.get_operation_display()}"
