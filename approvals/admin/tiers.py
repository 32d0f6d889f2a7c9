"""Tiers with their stages, and reason codes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError

from accounts.models import Team
from accounts.recorded import OwnInline, RecordedAdmin, RecordedForm
from approvals import askable
from approvals.admin.tier_editions import WithEditions
from approvals.models import ReasonCode, Rung, Stage, TierSettings
from approvals.stages import AskedStage
from workflows.admin.formsets import OrderedFormSet
from workflows.states import Tier


class StageFormSet(OrderedFormSet):
    """Stages that can be passed: somebody is asked, and enough people may answer."""

    def clean(self) -> None:
        """Refuse a tier that nobody could pass."""
        super().clean()
        stages = [(form.instance, _teams_in(form)) for form in self.staying() if not form.errors]
        if self.instance.tier in {Tier.FAST_TRACK, Tier.FULL_REVIEW} and not self.staying():
            raise ValidationError("This tier needs at least one stage: without one nobody could be asked.")
        for stage, teams in stages:
            asked = AskedStage(tuple(teams), stage.votes, stage.every_team)
            people = askable.may_decide(asked, stage.team.organization_id)
            if not asked.is_passed(people):
                count = len(people)
                text = f"{asked.names} has {count} people who may decide; {asked.needed} votes could never be reached."
                raise ValidationError(text)


def _teams_in(form: Any) -> list[Team]:
    """The teams of a stage as they were typed, the first one first."""
    first = form.cleaned_data["team"]
    return [first, *(team for team in form.cleaned_data["more_teams"] if team != first)]


class StageInline(OwnInline, admin.TabularInline):
    """Who votes, in which order, and how many of them."""

    model = Stage
    formset = StageFormSet
    fields = ["position", "team", "more_teams", "every_team", "votes"]


class RungFormSet(OrderedFormSet):
    """Rungs in the order of time."""

    def clean(self) -> None:
        """Refuse a ladder whose later rung comes before an earlier one."""
        super().clean()
        rungs = sorted(
            (form.cleaned_data.get("position") or self.away, form.instance.after_minutes, form.instance.what)
            for form in self.staying()
            if not form.errors
        )
        times = [after for _, after, _ in rungs]
        if times != sorted(times):
            raise ValidationError("The rungs are climbed in their order: each comes no earlier than the one before.")
        if len({(after, what) for _, after, what in rungs}) < len(rungs):
            raise ValidationError("Two rungs do the same at the same time.")


class RungInline(OwnInline, admin.TabularInline):
    """What happens to a review that nobody decides."""

    model = Rung
    formset = RungFormSet
    fields = ["position", "after_minutes", "what"]
    verbose_name_plural = "Escalation ladder"


@admin.register(TierSettings)
class TierAdmin(WithEditions):
    """What each tier means: how fast, with how much explanation, whose votes, and what happens when nobody votes.

    Reviews that are open keep what they were opened with, or get what is stricter.
    """

    noun = "approvals.tier"
    second_person = True
    children = ["stages", "rungs"]
    given_once = ["organization", "tier"]
    inlines = [StageInline, RungInline]
    list_display = ["tier", "due_minutes", "objection_minutes", "undo_seconds", "text_needed", "asks"]
    fieldsets = [
        (None, {"fields": ["organization", "tier"]}),
        (
            "Time",
            {
                "fields": ["due_minutes", "objection_minutes", "undo_seconds", "bulk_most"],
                "description": "Minutes are business minutes of the organization's calendar.",
            },
        ),
        (
            "Explanation",
            {
                "fields": ["text_needed", "text_minimum", "second_look"],
                "description": "A reason code is always asked for. What is made stricter here counts for open reviews "
                "too; what is made milder counts for new ones only.",
            },
        ),
        (
            "Second opinions",
            {
                "fields": ["second_opinion_percent"],
                "description": "Per cent. An opinion changes nothing about the case; managers see how often it agrees.",
            },
        ),
    ]

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).prefetch_related("stages__team", "stages__more_teams")

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
        fields = [
            "organization",
            "kind",
            "verdict",
            "code",
            "label",
            "suggested_for",
            "text_needed",
            "second_look",
            "position",
            "enabled",
        ]


@admin.register(ReasonCode)
class ReasonCodeAdmin(RecordedAdmin):
    """The reasons reviewers choose from. One that is no longer wanted is switched off; votes keep theirs."""

    noun = "approvals.reason_code"
    second_person = True
    given_once = ["organization", "kind", "verdict", "code"]
    form = ReasonCodeForm
    list_display = ["label", "kind", "verdict", "code", "position", "text_needed", "second_look", "enabled"]
    list_filter = ["verdict", "enabled"]
    search_fields = ["label", "code"]
    fieldsets = [
        (None, {"fields": ["organization", "kind", "verdict", "code", "label"]}),
        ("On the review screen", {"fields": ["suggested_for", "position", "text_needed", "second_look", "enabled"]}),
    ]
