"""Running limits: what may leave by itself in a day."""

from typing import Any

from django import forms
from django.contrib import admin

from accounts.recorded import RecordedAdmin, RecordedForm
from approvals.models import RunningLimit
from opsdesk.lib.money import EXPONENTS, BadAmount, Money


class RunningLimitForm(RecordedForm):
    """A limit whose amount is typed as people write it."""

    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(EXPONENTS)])
    amount = forms.CharField(max_length=24, required=False, help_text="A day, in major units such as 500.00.")

    class Meta:
        model = RunningLimit
        fields = ["organization", "scope", "currency", "count"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None and self.instance.amount is not None:
            self.initial["amount"] = str(self.instance.amount.decimal)

    def clean(self) -> dict[str, Any]:
        """Turn the typed amount into minor units; something has to be limited."""
        values = super().clean() or self.cleaned_data
        typed = values.get("amount", "").strip()
        currency = values.get("currency") or self.instance.currency
        self.instance.amount_minor = None
        try:
            if typed:
                self.instance.amount_minor = Money.parse(typed, currency).minor
        except BadAmount as refusal:
            self.add_error("amount", str(refusal))
        if (self.instance.amount_minor or 0) < 0:
            self.add_error("amount", "A limit is not below 0.")
        if not typed and values.get("count") is None:
            self.add_error("amount", "Limit the amount, the number of cases, or both.")
        return values


@admin.register(RunningLimit)
class RunningLimitAdmin(RecordedAdmin):
    """What may leave without a person in a day. Whatever would pass a limit waits for people; nothing stops."""

    noun = "approvals.running_limit"
    given_once = ["organization", "scope", "currency"]
    form = RunningLimitForm
    list_display = ["__str__", "scope", "currency"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "scope", "currency", "amount", "count"],
                "description": "Sums are of one local day. Once a limit is set, a request in a currency without one "
                "waits for people, so that nobody gets past it by changing the currency.",
            },
        )
    ]
