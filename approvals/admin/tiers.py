"""Tiers with their stages, and reason codes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError

from accounts.recorded import OwnInline, RecordedAdmin, RecordedForm
from approvals import askable
from approvals.models import ReasonCode, Stage, TierSettings
from workflows.admin.formsets import OrderedFormSet
from workflows.states import Tier


class StageFormSet(OrderedFormSet):
    """Stages that can be passed: somebody is asked, and enough people may answer."""

    def clean(self) -> None:
        """Refuse a tier that nobody could pass."""
        super().clean()
        stages = [form.instance for form in self.staying() if not form.errors]
        if self.instance.tier in {Tier.FAST_TRACK, Tier.FULL_REVIEW} and not self.staying():
            raise ValidationError("This tier needs at least one stage: without one nobody could be asked.")
        for stage in stages:
            people = len(askable.may_decide(stage))
            if people < stage.votes:
                text = f"{stage.team} has {people} people who may decide; {stage.votes} votes could never be reached."
                raise ValidationError(text)


class StageInline(OwnInline, admin.TabularInline):
    """Who votes, in which order, and how many of them."""

    model = Stage
    formset = StageFormSet
    fields = ["position", "team", "votes"]


@admin.register(TierSettings)
class TierAdmin(RecordedAdmin):
    """What each tier means: how fast, with how much explanation, and whose votes."""

    noun = "approvals.tier"
    children = ["stages"]
    given_once = ["organization", "tier"]
    inlines = [StageInline]
    list_display = ["tier", "due_minutes", "objection_minutes", "undo_seconds", "text_needed", "asks"]
    fieldsets = [
        (None, {"fields": ["organization", "tier"]}),
        (
            "Time",
            {
                "fields": ["due_minutes", "objection_minutes", "undo_seconds"],
                "description": "Minutes are business minutes of the organization's calendar.",
            },
        ),
        ("Explanation", {"fields": ["text_needed", "text_minimum"]}),
    ]

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).prefetch_related("stages__team")

    @admin.display(description="stages")
    def asks(self, tier: TierSettings) -> str:
        """The stages in their order."""
        return ", then ".join(str(stage) for stage in tier.stages.all()) or "nobody"


class ReasonCodeForm(RecordedForm):
    """Request reasons are the shop's own words, separated by commas."""

    suggested_for = SimpleArrayField(
        forms.CharField(max_length=60),
        required=False,
        help_text="Reasons of requests for which it is offered first, such as returned, damaged.",
    )

    class Meta:
        model = ReasonCode
        fields = ["organization", "verdict", "code", "label", "suggested_for", "text_needed", "position", "enabled"]


@admin.register(ReasonCode)
class ReasonCodeAdmin(RecordedAdmin):
    """The reasons reviewers choose from. One that is no longer wanted is switched off; votes keep theirs."""

    noun = "approvals.reason_code"
    given_once = ["organization", "verdict", "code"]
    form = ReasonCodeForm
    list_display = ["label", "verdict", "code", "position", "text_needed", "enabled"]
    list_filter = ["verdict", "enabled"]
    search_fields = ["label", "code"]
    fieldsets = [
        (None, {"fields": ["organization", "verdict", "code", "label"]}),
        ("On the review screen", {"fields": ["suggested_for", "position", "text_needed", "enabled"]}),
    ]
