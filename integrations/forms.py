"""Forms of the pages about connections: each asks why."""

from django import forms

from integrations.reasons import LONGEST_REASON


class SwitchForm(forms.Form):
    """Why sending is paused or resumed: shown beside the connection and kept in the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        error_messages={"required": "Say why in a few words."},
        widget=forms.TextInput(attrs={"placeholder": "Why, in a few words", "autocomplete": "off"}),
    )

    def complaint(self) -> str:
        """What is wrong with it, in one line: its fields stand once for each row of the page."""
        return " ".join(str(text) for texts in self.errors.values() for text in texts)


class TurnForm(SwitchForm):
    """A kill switch, and which way it is turned."""

    wish = forms.ChoiceField(choices=[("on", "on"), ("off", "off")])


class OperationForm(SwitchForm):
    """What shall become of one operation: its breaker held open or closed or let go, its kill switch on or off."""

    operation = forms.SlugField(max_length=40)
    wish = forms.ChoiceField(choices=[(wish, wish) for wish in ("open", "closed", "release", "on", "off")])


class WindowForm(SwitchForm):
    """The maintenance window that is ended early."""

    window = forms.IntegerField(min_value=1)


class SettleForm(SwitchForm):
    """Whether an action happened, as a person found out at the other side."""

    action = forms.IntegerField(min_value=1)
    happened = forms.ChoiceField(choices=[("yes", "It happened"), ("no", "It did not happen")])
