"""The audit log in the admin, to be read. The desk's own page has the filters people need."""

import json
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.recorded import CappedPaginator, ReadOnlyAdmin, RecordedAdmin, RecordedForm
from accounts.roles import Permission
from accounts.snapshots import Snapshot
from auditlog.models import Entry, LegalHold, RetentionPolicy
from auditlog.retention import kinds
from auditlog.verbs import known
from opsdesk.lib.wording import visible


class AreaFilter(admin.SimpleListFilter):
    """By the part of the desk that tells: its verbs begin with the part's name."""

    title = "area"
    parameter_name = "area"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        labels = sorted({verb.partition(".")[0] for verb in known()})
        return [(label, str(apps.get_app_config(label).verbose_name)) for label in labels]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Entry]") -> "QuerySet[Entry]":
        return queryset.filter(verb__startswith=f"{self.value()}.") if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Who did what, when and why."""

    permission = Permission.READ_AUDIT
    list_display = ["at", "actor", "words", "subject", "case_id", "why"]
    list_filter = ["actor_kind", AreaFilter]
    paginator = CappedPaginator
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": ["at", "actor", "actor_kind", "words", "subject", "case_id", "why"]}),
        ("What changed", {"fields": ["was", "is_now"]}),
        ("Trace", {"fields": ["verb", "request_id"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        return super().get_queryset(request).select_related("user")

    @admin.display(description="subject")
    def subject(self, entry: Entry) -> str:
        """What it happened to."""
        return f"{entry.subject_kind} {entry.subject_id}"

    @admin.display(description="reason")
    def why(self, entry: Entry) -> str:
        """The reason, as people or systems outside wrote it."""
        return visible(entry.reason, at_most=2000)

    @admin.display(description="before")
    def was(self, entry: Entry) -> str:
        """The state before, laid out."""
        return _laid_out(entry.before)

    @admin.display(description="after")
    def is_now(self, entry: Entry) -> str:
        """The state after, laid out."""
        return _laid_out(entry.after)


def _laid_out(state: Any) -> str:
    lines = json.dumps(state, indent=2, ensure_ascii=False).split("\n") if state else ["nothing"]
    return "\n".join(visible(line, at_most=2000) for line in lines)


class PolicyForm(RecordedForm):
    """The kinds that rooms have registered, each with the least it must be kept."""

    kind = forms.ChoiceField(choices=kinds.known, label="Records")

    class Meta:
        model = RetentionPolicy
        fields = ["organization", "kind", "days", "enabled"]

    def clean(self) -> dict[str, Any] | None:
        """Refuse what would remove records that may still be needed."""
        cleaned = super().clean()
        kind = kinds.kind_of((cleaned or {}).get("kind", ""))
        days = (cleaned or {}).get("days")
        if kind is not None and days is not None and days < kind.least_days:
            self.add_error("days", f"{kind.label} are kept for {kind.least_days} days at least.")
        return cleaned


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(RecordedAdmin):
    """For how long records are kept. What is removed is gone; the log says what it was and proves the rest."""

    noun = "auditlog.retentionpolicy"
    permission = Permission.KEEP_AUDIT
    second_person = True
    waiting_words = (
        "What removes more, or sooner, waits until another person puts it in force. Keeping records for longer, and "
        "switching removal off, take effect at once."
    )
    form = PolicyForm
    given_once = ["organization", "kind"]
    list_display = ["label", "days", "enabled"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "kind", "days", "enabled"],
                "description": "What is older is removed some at a time, never while a legal hold keeps it. Of entries "
                "of the audit log a tombstone stays, and the log still verifies.",
            },
        )
    ]

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """What may remove more, or sooner. Keeping for longer, and switching removal off, take effect at once."""
        if not change:
            return bool(now.get("enabled"))
        sooner = "days" in now and now["days"] < was["days"]
        return sooner or now.get("enabled") is True

    @admin.display(description="records", ordering="kind")
    def label(self, policy: RetentionPolicy) -> str:
        """The kind in words."""
        kind = kinds.kind_of(policy.kind)
        return kind.label if kind is not None else policy.kind


@admin.register(LegalHold)
class LegalHoldAdmin(RecordedAdmin):
    """Cases and customers of whom nothing is removed. Setting and lifting one asks for the reason and is recorded."""

    noun = "auditlog.legalhold"
    permission = Permission.KEEP_AUDIT
    second_person = True
    waiting_words = "Lifting a hold waits until another person puts it in force. Setting one takes effect at once."
    given_once = ["organization", "case_id", "party"]
    list_display = ["shown", "set_at", "lifted"]
    list_filter = ["lifted"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "case_id", "party", "lifted"],
                "description": "Name a case or a customer, one of the two. Nothing of it is removed by retention until "
                "the hold is lifted.",
            },
        )
    ]

    def asks_second_person(self, was: Snapshot, now: Snapshot, *, change: bool) -> bool:
        """Lifting one lets things be removed for good; setting one takes effect at once."""
        return now.get("lifted") is True

    @admin.display(description="holds")
    def shown(self, hold: LegalHold) -> str:
        """What it holds; a customer number comes from outside."""
        return visible(f"customer {hold.party}" if hold.party else str(hold), at_most=200)
