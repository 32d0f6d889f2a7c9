"""Forms of the reconciliation and recovery pages."""

from collections.abc import Sequence
from typing import Any

from django import forms

from integrations.states import Remedy

LONGEST_REASON = 300
_LARGEST_KEY = 2**63 - 1


class WhyForm(forms.Form):
    """Why something is done: kept in the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"placeholder": "Why, in a few words", "autocomplete": "off"}),
    )


class DeclareForm(WhyForm):
    """That the database was put back, and to which moment."""

    since = forms.DateTimeField(
        label="Restored to",
        required=False,
        help_text="The moment the restored data is from; a week is looked back when it is left empty.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
    )


class SettleForm(WhyForm):
    """What is done about a difference; for a lost refund also which case it was for, where nobody knows."""

    remedy = forms.ChoiceField(label="What is done")
    case = forms.IntegerField(
        label="Case number", required=False, min_value=1, max_value=_LARGEST_KEY, help_text="The digits of CASE-…"
    )
    field_order = ["remedy", "case", "reason"]

    def __init__(self, *args: Any, remedies: Sequence[Remedy], asks_case: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["remedy"]
        assert isinstance(choice, forms.ChoiceField)  # noqa: S101 - for the type checker
        choice.choices = [(remedy.value, remedy.label) for remedy in remedies]
        if Remedy.IT_WAS not in remedies or not asks_case:
            del self.fields["case"]
