"""Forms of the runs and failures pages: why something is repaired, and how much of it."""

from django import forms

from workflows.failures import MOST_AT_ONCE

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
