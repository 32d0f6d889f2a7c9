"""Forms of the connections page."""

from django import forms

from integrations.switches import LONGEST_REASON


class SwitchForm(forms.Form):
    """Why sending is paused or resumed: shown beside the connection and kept in the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"placeholder": "Why, in a few words", "autocomplete": "off"}),
    )
