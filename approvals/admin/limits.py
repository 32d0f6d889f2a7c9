"""Running limits: what may go out in a day; ceilings: what one person may decide."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from accounts.recorded import RecordedAdmin, RecordedForm
from accounts.snapshots import snapshot
from approvals.models import Ceiling, RunningLimit
from opsdesk.lib import clock
from opsdesk.lib.money import EXPONENTS, BadAmount, Money
from workflows.steps.decide import published_rules

_CURRENCIES = [(code, code) for code in sorted(EXPONENTS)]


class AmountForm(RecordedForm):
    """A form whose amount is typed as people write it, and kept in minor units."""

    currency = forms.ChoiceField(choices=_CURRENCIES)
    amount = forms.CharField(max_length=24, required=False, help_text="In major units such as 500.00.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None and self.instance.amount is not None:
            self.initial["amount"] = str(self.instance.amount.decimal)

    def clean(self) -> dict[str, Any]:
        """Turn the typed amount into minor units."""
        values = super().clean() or self.cleaned_data
        typed = values.get("amount", "").strip()
        if not typed and self.instance._meta.get_field("amount_minor").null:
            self.instance.amount_minor = None
        try:
            if typed:
                self.instance.amount_minor = Money.parse(typed, values.get("currency") or self.instance.currency).minor
        except BadAmount as refusal:
            self.add_error("amount", str(refusal))
        if (self.instance.amount_minor or 0) < 0:
            self.add_error("amount", "A limit is not below 0.")
        return values


class RunningLimitForm(AmountForm):
    """A limit of the amount, of the number, or of both."""

    class Meta:
        model = RunningLimit
        fields = ["organization", "scope", "workflow", "rule", "currency", "count"]

    def clean(self) -> dict[str, Any]:
        """Something has to be limited; a limit for a rule names one that is in force, the others none."""
        values = super().clean()
        if not values.get("amount", "").strip() and values.get("count") is None:
            self.add_error("amount", "Limit the amount, the number of cases, or both.")
        scope = values.get("scope") or self.instance.scope
        if self.instance.pk is not None:
            return values
        if scope == RunningLimit.Scope.RULE:
            self._check_rule(values)
        elif values.get("workflow") is not None or values.get("rule"):
            self.add_error("rule", "Only the limit for a rule names a workflow and a rule.")
        return values

    def _check_rule(self, values: dict[str, Any]) -> None:
        workflow = values.get("workflow")
        rule_set = published_rules(workflow.pk) if workflow is not None else None
        names = [rule.name for rule in rule_set.rules.all()] if rule_set is not None else []
        if values.get("rule") not in names:
            listed = "; ".join(names) or "none"
            self.add_error("rule", f"Name a workflow, and a rule that is in force in it. It has: {listed}.")


@admin.register(RunningLimit)
class RunningLimitAdmin(RecordedAdmin):
    """What may go out in a day. Whatever would pass a limit waits for people; nothing stops."""

    noun = "approvals.running_limit"
    second_person = True
    given_once = ["organization", "scope", "workflow", "rule", "currency"]
    form = RunningLimitForm
    list_display = ["__str__", "scope", "currency"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "scope", ("workflow", "rule"), "currency", "amount", "count"],
                "description": "Sums are of one local day. To one customer counts what people approved as well; in all "
                "and where a rule holds, what left without a person. Whoever reaches the limit by their own approvals "
                "leaves further ones to somebody else. Limits in several currencies are shares of one, and once a "
                "limit is set, a request in a currency without one waits for people: nobody gets past by changing it.",
            },
        )
    ]


class CeilingForm(AmountForm):
    """The most somebody may decide about."""

    ends = forms.BooleanField(
        required=False, label="Take it away", help_text="For cases that are opened from then on nothing limits them."
    )

    class Meta:
        model = Ceiling
        fields = ["organization", "user", "currency"]

    def clean(self) -> dict[str, Any]:
        """There is an amount, and one ceiling for each currency."""
        values = super().clean()
        if not values.get("amount", "").strip():
            self.add_error("amount", "Say up to which amount.")
        standing = Ceiling.objects.filter(user=values.get("user"), currency=values.get("currency"), ended_at=None)
        if self.instance.pk is None and standing.filter(organization=values.get("organization")).exists():
            self.add_error("currency", "There is a ceiling in this currency already: change that one.")
        return values


@admin.register(Ceiling)
class CeilingAdmin(RecordedAdmin):
    """The most one person may decide about. A case above it is for somebody else, who is asked instead."""

    noun = "approvals.ceiling"
    second_person = True
    given_once = ["organization", "user", "currency"]
    form = CeilingForm
    list_display = ["user", "currency", "amount", "set_at"]
    list_select_related = ["user"]
    search_fields = ["user__username", "user__first_name", "user__last_name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["organization", "user", "currency", "amount", "ends"],
                "description": "It counts for the person, whichever of their accounts they use, and for whoever stands "
                "in for them. In a currency without a ceiling they then decide nothing. A case that is open keeps the "
                "lowest ceiling that stood since it was opened: raising one changes nothing about it.",
            },
        )
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Ceilings that stand; what ended is in the audit log."""
        return super().get_queryset(request).filter(ended_at=None)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is being added cannot be taken away."""
        sets = super().get_fieldsets(request, obj)
        if obj is not None:
            return sets
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "ends"]})
            for title, options in sets
        ]

    def save_model(self, request: HttpRequest, obj: Ceiling, form: Any, change: bool) -> None:
        """Another amount ends the ceiling and sets a new one; both stay."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        stored = Ceiling.objects.select_for_update(of=("self",)).get(pk=obj.pk)
        form.before, now = snapshot(stored), clock.now()
        Ceiling.objects.filter(pk=stored.pk).update(ended_at=now)
        if not form.cleaned_data["ends"]:
            obj.pk, obj.set_at, obj._state.adding = None, now, True
            obj.save()
