"""Forms of the runs, failures and bulk pages: why something is done, and how much of it."""

from datetime import timedelta
from typing import Any, cast

from django import forms
from django.db.models import QuerySet

from accounts.models import Membership
from workflows.engine.controls import PRIORITIES
from workflows.models import Bulk
from workflows.replaying import CORRECTED

LONGEST_REASON = 300


class ReasonForm(forms.Form):
    """Why a run is tried again or a failure is closed: kept in the audit log."""

    reason = forms.CharField(
        label="Reason",
        max_length=LONGEST_REASON,
        widget=forms.TextInput(attrs={"placeholder": "Why, in a few words", "autocomplete": "off"}),
    )


class ReplayForm(ReasonForm):
    """How many of a failure's runs are tried again, by the button that was pressed; and what is corrected in each."""

    count = forms.IntegerField(min_value=1)
    corrected = forms.ChoiceField(
        label="Correct first",
        required=False,
        choices=[("", "Nothing"), *((name, name.replace("_", " ").capitalize()) for name in CORRECTED)],
    )
    value = forms.CharField(
        label="Right value",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, may_correct: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_correct:
            del self.fields["corrected"], self.fields["value"]


class _Colleague(forms.ModelChoiceField):
    """One of several memberships, by name."""

    def label_from_instance(self, obj: Membership) -> str:
        """Who it is."""
        return str(obj.user)


class HandOverForm(ReasonForm):
    """Who has a failure from now on: one of the memberships of those who may repair it."""

    to = _Colleague(label="To", queryset=Membership.objects.none(), empty_label="Choose a colleague")
    field_order = ["to", "reason"]

    def __init__(self, *args: Any, people: QuerySet[Membership], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(_Colleague, self.fields["to"]).queryset = people


class IgnoreForm(ReasonForm):
    """For how long nobody wants to hear of a failure, by the button that was pressed."""

    LENGTHS = (
        (60, "1 hour"),
        (24 * 60, "1 day"),
        (7 * 24 * 60, "1 week"),
        (30 * 24 * 60, "30 days"),
    )

    minutes = forms.TypedChoiceField(label="Ignore for", coerce=int, choices=LENGTHS)

    @property
    def length(self) -> timedelta:
        """What was chosen."""
        return timedelta(minutes=self.cleaned_data["minutes"])

    @property
    def words(self) -> str:
        """The same, for people."""
        return dict(self.LENGTHS)[self.cleaned_data["minutes"]]


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
