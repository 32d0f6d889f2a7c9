"""Threshold policies: bands of amounts, drafted and published together."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models.functions import Now

from accounts.recorded import OwnInline, RecordedForm
from approvals.bands import in_words, scope_of_band
from approvals.models import Policy, Threshold
from approvals.policies import POLICIES, new_draft_policy
from opsdesk.lib.money import EXPONENTS, LARGEST, BadAmount, Money
from workflows.admin.editions import EditionAdmin
from workflows.admin.formsets import AsideFormSet


class PolicyForm(RecordedForm):
    """A policy has nothing but its bands."""

    class Meta:
        model = Policy
        fields = ["workflow"]


class ThresholdForm(forms.ModelForm):
    """A band whose amount is typed as people write it."""

    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(EXPONENTS)])
    above = forms.CharField(
        max_length=24, help_text="Major units, such as 25.00: the band holds amounts above this one. The lowest is 0."
    )

    class Meta:
        model = Threshold
        fields = ["currency", "reason", "segment", "channel", "above", "tier"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.initial["above"] = str(self.instance.above.decimal)

    def clean(self) -> dict[str, Any]:
        """Turn the typed amount into minor units."""
        values = super().clean() or self.cleaned_data
        try:
            amount = Money.parse(values.get("above", ""), values.get("currency"))
        except BadAmount as refusal:
            self.add_error("above", str(refusal))
        else:
            if amount.minor < 0:
                self.add_error("above", "A band cannot begin below 0.")
            self.instance.above_minor = amount.minor
        return values


class ThresholdFormSet(AsideFormSet):
    """No two bands of a currency begin at the same amount."""

    number = "above_minor"
    away = 2 * LARGEST

    def clean(self) -> None:
        """Compare the bands with each other."""
        super().clean()
        bands = [form.instance for form in self.staying() if not form.errors]
        begins = [(band.currency, scope_of_band(band), band.above_minor) for band in bands]
        if len(set(begins)) < len(begins):
            raise ValidationError("Two bands of the same currency, for the same requests, begin at the same amount.")


class ThresholdInline(OwnInline, admin.TabularInline):
    """The bands, lowest first."""

    model = Threshold
    form = ThresholdForm
    formset = ThresholdFormSet
    ordering = ["currency", "reason", "segment", "channel", "above_minor"]
    fields = ["currency", "reason", "segment", "channel", "above", "tier"]
    readonly = ["currency", "reason", "segment", "channel", "begins", "tier"]

    def get_fields(self, request: Any, obj: Any = None) -> Any:
        """A published policy shows its amounts; only a form has the field to type them."""
        return self.fields if self._may_edit(request, obj) else self.readonly

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        return () if self._may_edit(request, obj) else self.readonly

    @admin.display(description="above")
    def begins(self, threshold: Threshold) -> str:
        """The amount with its currency."""
        return str(threshold.above)


@admin.register(Policy)
class PolicyAdmin(EditionAdmin):
    """Which tier an amount asks for. Rules and missing facts can only ask for more."""

    noun = "approvals.policy"
    children = ["thresholds"]
    editions = POLICIES
    copy = new_draft_policy
    form = PolicyForm
    inlines = [ThresholdInline]
    retired_words = "No threshold is asked then, so people decide about every case."
    edited_also = {"edited_at": Now()}
    fieldsets = [
        (
            None,
            {
                "fields": ["workflow", "edited"],
                "description": "Each currency has its own bands, beginning at 0; a larger amount never asks for a "
                "milder tier. An amount in a currency without bands goes to full review. Bands for one reason, "
                "customer segment or channel stand beside those for all: the most specific that fits decides, and of "
                "two as specific the stricter.",
            },
        )
    ]

    def describe(self, edition: Policy) -> list[str]:
        """One line a band."""
        rows = edition.thresholds.order_by("currency", "reason", "segment", "channel", "above_minor")
        return [" ".join(filter(None, [band.currency, str(band), in_words(scope_of_band(band))])) for band in rows]
