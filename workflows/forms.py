"""Forms of the runs, failures and bulk pages: why something is done, and how much of it."""

from typing import Any

from django import forms

from workflows.engine.controls import PRIORITIES
from workflows.failures import MOST_AT_ONCE
from workflows.models import Bulk

LONGEST_REASON = 300


class ReasonForm(forms.Form):
    """Why a run is tried again or a failure is closed: kept in the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"placeholder": "Why, in a few words", "autocomplete": "off"}),
    )


class RetrySomeForm(ReasonForm):
    """How many of a failure's runs are tried again, by the button that was pressed."""

    count = forms.IntegerField(min_value=1, max_value=MOST_AT_ONCE)


class NoteForm(forms.Form):
    """What the person found who looks after an alert; may be left empty."""

    note = forms.CharField(
        label="Note",
        max_length=LONGEST_REASON,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "What you found, or what you do about it", "autocomplete": "off"}),
    )


class SkipForm(ReasonForm):
    """Which step is left out: the one the person saw, for the run may stand at another by now."""

    step = forms.SlugField(max_length=40)


class PrioritizeForm(ReasonForm):
    """How urgent a run is, compared with others."""

    priority = forms.TypedChoiceField(
        coerce=int, choices=[(number, words.capitalize()) for number, words in PRIORITIES.items()]
    )


class BulkForm(ReasonForm):
    """What a bulk operation is told: the reason, and whatever else its kind adds."""

    def __init__(self, *args: Any, bulk: Bulk, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bulk = bulk
