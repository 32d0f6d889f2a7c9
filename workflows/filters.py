"""Filters of the list pages; their state is the query of the address."""

from datetime import timedelta
from typing import Any

import django_filters as filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone

from opsdesk.lib import clock
from opsdesk.lib.money import Money
from opsdesk.lib.typed import amount_as_typed
from workflows.finding import keys_of, long_enough, number_in, with_words
from workflows.models import Case, Run, Workflow
from workflows.states import CaseState, RunState, WaitsFor

# Days before today from which a period counts.
PERIODS = {"today": 0, "week": 6, "month": 29}


def _own_workflows(request: Any) -> QuerySet[Workflow]:
    return Workflow.objects.filter(organization_id=request.membership.organization_id)


class RunFilter(filters.FilterSet):
    """Runs by where they stand, what they wait for, and which workflow they follow."""

    state = filters.ChoiceFilter(choices=RunState.choices, empty_label="Any state")
    waits_for = filters.ChoiceFilter(choices=WaitsFor.choices, empty_label="Waits for anything", label="Waits for")
    paused = filters.ChoiceFilter(
        choices=[("yes", "Paused"), ("no", "Not paused")],
        method="by_pause",
        empty_label="Paused or not",
        label="Paused",
    )
    workflow = filters.ModelChoiceFilter(queryset=_own_workflows, empty_label="Any workflow")

    class Meta:
        model = Run
        fields = ["state", "waits_for", "paused", "workflow"]

    def by_pause(self, runs: QuerySet[Run], name: str, value: str) -> QuerySet[Run]:
        """Runs that somebody paused, or the others."""
        return runs.filter(paused_at__isnull=value == "no")


class AmountField(forms.CharField):
    """An amount in the currency of the organization, as a person types it: 38, 38.25, £38.25."""

    def __init__(self, *, currency: str = "", **options: Any) -> None:
        self.currency = currency
        super().__init__(max_length=24, **options)

    def clean(self, value: Any) -> Any:
        """The amount as Money, or None where nothing was typed."""
        text = super().clean(value)
        found = amount_as_typed(text, self.currency)
        if text and found is None:
            raise ValidationError(f"“{text}” is not an amount: write digits with a point, such as 12.50.")
        if found is not None and found.currency != self.currency:
            raise ValidationError(f"“{text}” is not in {self.currency}.")
        return found


class AmountFilter(filters.Filter):
    """Cases whose amount compares to the given one; those in other currencies cannot be compared and are left out."""

    field_class = AmountField

    def __init__(self, *, case: str = "", **options: Any) -> None:
        """`case`: the way from the row to its case, as “case__”."""
        super().__init__(**options)
        self.case = case

    def filter(self, qs: QuerySet[Any], value: Money | None) -> QuerySet[Any]:
        """The rows whose case asks for so much, or so little."""
        if value is None:
            return qs
        wanted = {f"{self.case}currency": value.currency, f"{self.case}amount_minor__{self.lookup_expr}": value.minor}
        return qs.filter(**wanted)


def with_amount_fields(chosen: filters.FilterSet, currency: str) -> None:
    """Have the filters `least` and `most` read amounts in the currency of the organization."""
    for name, words in (("least", "From"), ("most", "To")):
        widget = forms.TextInput(attrs={"placeholder": words, "inputmode": "decimal"})
        chosen.filters[name].extra.update({"currency": currency, "widget": widget})


class CaseFilter(filters.FilterSet):
    """Cases by words, state, amount, and when they were opened."""

    text = filters.CharFilter(method="by_text", label="Words or number", max_length=100)
    state = filters.ChoiceFilter(choices=CaseState.choices, empty_label="Any state", label="State")
    least = AmountFilter(lookup_expr="gte", label="At least")
    most = AmountFilter(lookup_expr="lte", label="At most")
    period = filters.ChoiceFilter(
        choices=[("today", "Opened today"), ("week", "In the last 7 days"), ("month", "In the last 30 days")],
        empty_label="Opened any time",
        label="Opened",
        method="in_period",
    )

    class Meta:
        model = Case
        fields: list[str] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        with_amount_fields(self, self.request.membership.organization.currency)
        self.filters["text"].extra["validators"] = [long_enough]
        self.filters["text"].extra["widget"] = forms.TextInput(
            attrs={"type": "search", "placeholder": "Reference, customer, payment, reason"}
        )

    def by_text(self, cases: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        """The case of that number, and those in which every word occurs."""
        if number_in(value) is None:
            return with_words(cases, value)
        return cases.filter(pk__in=keys_of(Case.objects.visible_to(self.request.membership), value))

    def in_period(self, cases: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        """Since the beginning of a day, in the organization's zone."""
        today = timezone.localtime(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
        return cases.filter(opened_at__gte=today - timedelta(days=PERIODS[value]))
