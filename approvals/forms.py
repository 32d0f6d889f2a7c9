"""What people fill in at the desk. Rules stay in the services; a form only says early what they would refuse."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from accounts.models import Membership, User
from accounts.roles import Permission
from approvals import absences, terms
from approvals.models import Absence, ReasonCode, Review
from approvals.services import Rationale
from approvals.states import Verdict
from integrations.reasons import LONGEST_REASON
from integrations.states import Way
from opsdesk.lib.money import BadAmount, Money
from opsdesk.lib.wording import visible
from workflows.cases import CORRECTABLE
from workflows.filters import AmountField
from workflows.models import Case

LONGEST_TEXT = 2000


# What the button says that approves only a part of the amount.
LESS = "less"


class DecisionForm(forms.Form):
    """One verdict with its rationale. Each verdict has a list of reasons of its own."""

    verdict = forms.ChoiceField(choices=[*Verdict.choices, (LESS, "Approve less")])
    amount = forms.CharField(required=False, max_length=24)
    reason_approve = forms.CharField(required=False)
    reason_reject = forms.CharField(required=False)
    text = forms.CharField(required=False, max_length=LONGEST_TEXT)
    second_look = forms.BooleanField(required=False)
    seen = forms.CharField(max_length=64)

    def __init__(self, data: Mapping[str, Any], *, review: Review, codes: Sequence[ReasonCode]) -> None:
        super().__init__(data)
        self.review = review
        self.codes = {str(code.pk): code for code in codes if code.enabled}

    def clean(self) -> dict[str, Any]:
        """Turn verdict, reason and text into a rationale; what is missing is said at the field that misses it."""
        cleaned = super().clean() or {}
        verdict = cleaned.get("verdict")
        if not verdict:
            return cleaned
        self._clean_amount(cleaned)
        verdict = cleaned["verdict"]
        name = f"reason_{verdict}"
        code = self.codes.get(cleaned.get(name, ""))
        if code is None or not code.fits(self.review.case.kind, verdict):
            self.add_error(name, f"Choose a reason to {verdict}.")
            return cleaned
        text = cleaned.get("text", "").strip()
        asked = terms.of(self.review)
        if (asked.text_needed or code.text_needed) and len(text) < asked.text_minimum:
            self.add_error("text", f"Say why, in at least {asked.text_minimum} characters.")
        second_look = bool(cleaned.get("second_look"))
        if (asked.second_look or code.second_look) and not second_look:
            self.add_error("second_look", "Look at the evidence a second time, and say that you did.")
        cleaned["rationale"] = Rationale(code, text, second_look)
        return cleaned

    def _clean_amount(self, cleaned: dict[str, Any]) -> None:
        """Read the lesser amount where that button was pressed; one that is typed beside another is no accident."""
        typed, asked = cleaned.pop("amount", "").strip(), self.review.case.amount
        less = cleaned["verdict"] == LESS
        cleaned["amount"] = None
        if less:
            cleaned["verdict"] = Verdict.APPROVE.value
            try:
                cleaned["amount"] = Money.parse(typed, self.review.case.currency)
            except BadAmount as refused:
                self.add_error("amount", str(refused) if typed else "Say how much of it is approved.")
                return
            if asked is None or not 0 < cleaned["amount"].minor < asked.minor:
                self.add_error("amount", f"Approve more than nothing and less than {asked or 'what is asked'}.")
        elif typed and cleaned["verdict"] == Verdict.APPROVE:
            self.add_error("amount", "You typed an amount: press “Approve less”, or clear it to approve all of it.")


class SecondOpinionForm(forms.Form):
    """How somebody would have decided: the reason says the verdict."""

    code = forms.ChoiceField(error_messages={"required": "Choose a reason."})
    text = forms.CharField(required=False, max_length=LONGEST_TEXT, strip=True)

    def __init__(self, data: Mapping[str, Any] | None, *, codes: Sequence[ReasonCode]) -> None:
        super().__init__(data)
        self.codes = {str(code.pk): code for code in codes}
        named = [(key, f"{code.get_verdict_display()}: {code.label}") for key, code in self.codes.items()]
        self.fields["code"].choices = named  # type: ignore[attr-defined]

    @property
    def choices(self) -> list[dict[str, object]]:
        """The reasons with their keys, for the template."""
        chosen = self.data.get("code") if self.is_bound else None
        return [
            {"value": key, "label": f"{code.get_verdict_display()}: {code.label}", "checked": key == chosen,
             "key": str(place) if place <= 9 else ""}
            for place, (key, code) in enumerate(self.codes.items(), start=1)
        ]  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Turn reason and text into a verdict and a rationale."""
        cleaned = super().clean() or {}
        code = self.codes.get(cleaned.get("code", ""))
        if code is None:
            return cleaned
        return {"verdict": Verdict(code.verdict), "rationale": Rationale(code, cleaned.get("text", ""))}


class CommentForm(forms.Form):
    """A sentence that goes with an escalation or an objection."""

    text = forms.CharField(required=False, max_length=LONGEST_TEXT, strip=True)


class CorrectionForm(forms.Form):
    """The request's data as it was sent, to be put right by a person who says why."""

    reason = forms.CharField(
        label="Why",
        max_length=LONGEST_TEXT,
        min_length=5,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "Who or what says so"}),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, case: Case) -> None:
        super().__init__(data, initial=_sent(case))
        why = self.fields.pop("reason")
        for name in CORRECTABLE:
            self.fields[name] = forms.CharField(label=name.capitalize(), required=False, max_length=100)
        self.fields["reason"] = why

    @property
    def changes(self) -> dict[str, str]:
        """Only what the person changed, so that nothing else is rewritten."""
        return {name: self.cleaned_data[name] for name in CORRECTABLE if name in self.changed_data}


def _sent(case: Case) -> dict[str, str]:
    """What the request said, with unseen characters spelled out: they may be what is wrong with it."""
    return {name: "" if case.data.get(name) is None else visible(str(case.data[name])) for name in CORRECTABLE}


class ReversalForm(forms.Form):
    """Which action is to be taken back, or its money asked back, and why."""

    action = forms.IntegerField(min_value=1, max_value=2**62)
    way = forms.ChoiceField(choices=Way.choices)
    reason = forms.CharField(max_length=LONGEST_REASON, min_length=5)


class RetryForm(forms.Form):
    """Why a failed run is tried again."""

    reason = forms.CharField(
        label="Why it can work now",
        max_length=LONGEST_TEXT,
        min_length=5,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "What changed since it failed"}),
    )


class ReassignForm(forms.Form):
    """Who gets a review; whether that person may decide it is for the service to say."""

    to = forms.ModelChoiceField(queryset=User.objects.none(), label="Reassign to")

    def __init__(self, data: Mapping[str, Any], *, review: Review) -> None:
        super().__init__(data)
        field = self.fields["to"]
        field.queryset = User.objects.filter(  # type: ignore[attr-defined]
            memberships__organization_id=review.organization_id, memberships__ended_at=None, is_active=True
        )


class TimeOffForm(forms.Form):
    """Days away, and who decides meanwhile. Managers enter those of others too."""

    user = forms.ModelChoiceField(queryset=User.objects.none(), label="Who is away")
    begins_on = forms.DateField(label="First day away", widget=forms.DateInput(attrs={"type": "date"}))
    ends_on = forms.DateField(label="Last day away", widget=forms.DateInput(attrs={"type": "date"}))
    delegate = forms.ModelChoiceField(
        queryset=User.objects.none(), label="Who decides meanwhile", required=False, empty_label="Nobody"
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, by: Membership) -> None:
        super().__init__(data, initial={"user": by.user_id})
        self.by = by
        deciding = User.objects.filter(pk__in=absences.who_may_decide(by.organization_id))
        people = deciding.order_by("first_name", "last_name", "pk")
        self.fields["user"].queryset = people  # type: ignore[attr-defined]
        self.fields["delegate"].queryset = people  # type: ignore[attr-defined]
        self.fields["ceiling"] = AmountField(
            currency=by.organization.currency,
            label=f"Up to, in {by.organization.currency}",
            required=False,
            widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        )
        if not by.may(Permission.MANAGE):
            del self.fields["user"]

    def agree(self) -> Absence:
        """Agree on what was entered. Raises AbsenceRefused."""
        given = self.cleaned_data
        return absences.take_time_off(
            given.get("user", self.by.user),
            by=self.by,
            begins_on=given["begins_on"],
            ends_on=given["ends_on"],
            delegate=given["delegate"],
            ceiling=given["ceiling"],
        )
