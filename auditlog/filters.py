"""Filters of the audit log; their state is the query of the address."""

import re
from collections import defaultdict
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

import django_filters as filters
from django import forms
from django.apps import apps
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from auditlog import verbs
from auditlog.models import Entry
from auditlog.scopes import Scope, scopes
from opsdesk.lib import clock

_CASE = re.compile(r"(?:case-)?([0-9]{1,18})", re.IGNORECASE)
_PERIODS = {"today": 0, "week": 6, "month": 29}


def _people(request: Any) -> QuerySet[User]:
    ours = User.objects.filter(memberships__organization_id=request.membership.organization_id)
    return ours.distinct().order_by("first_name", "last_name", "username")


def _verbs() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every registered verb in its words, under the app it belongs to."""
    grouped: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for verb, words in sorted(verbs.known().items(), key=lambda item: item[1]):
        grouped[verb.partition(".")[0].capitalize()].append((verb, words))
    return sorted(grouped.items())


def _kinds() -> list[tuple[str, str]]:
    """What an entry can be about: every kind of row of the apps that register verbs."""
    labels = {verb.partition(".")[0] for verb in verbs.known()}
    models = [model for label in labels for model in apps.get_app_config(label).get_models()]
    return sorted((str(model._meta.model_name), str(model._meta.verbose_name)) for model in models)


def _day(label: str) -> forms.DateInput:
    return forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "title": label})


def _begins(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _within(scope: Scope, organization_id: int, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
    """Entries of the cases that were meant; what cannot be understood finds nothing."""
    cases = scope.cases(organization_id, value)
    return rows.none() if cases is None else rows.filter(case_id__in=cases)


class EntryFilter(filters.FilterSet):
    """Entries by person, verb, what they are about, period and case, and by what other rooms know of cases."""

    user = filters.ModelChoiceFilter(queryset=_people, empty_label="Anyone", label="Who")
    verb = filters.ChoiceFilter(choices=_verbs, empty_label="Did anything", label="Did")
    subject_kind = filters.ChoiceFilter(choices=_kinds, empty_label="About anything", label="About")
    period = filters.ChoiceFilter(
        choices=[("today", "Today"), ("week", "Last 7 days"), ("month", "Last 30 days")],
        empty_label="Any time",
        label="When",
        method="in_period",
    )
    since = filters.DateFilter(method="since_day", label="From", widget=_day("From this day"))
    until = filters.DateFilter(method="until_day", label="To", widget=_day("To this day"))
    case = filters.CharFilter(method="of_case", label="Case")

    class Meta:
        model = Entry
        fields = ["user", "verb", "subject_kind", "period", "since", "until", "case"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for scope in scopes():
            self.filters[scope.name] = self._by_scope(scope)
        self.form.fields["case"].widget.attrs |= {"placeholder": "CASE-…", "maxlength": 24, "autocomplete": "off"}

    def _by_scope(self, scope: Scope) -> filters.Filter:
        """The filter for what another room knows of cases."""
        organization_id = self.request.membership.organization_id
        within = partial(_within, scope, organization_id)
        if scope.choices is not None:
            choices, every = scope.choices(organization_id), f"Any {scope.label.lower()}"
            made: Any = filters.ChoiceFilter(choices=choices, empty_label=every, label=scope.label, method=within)
        else:
            field = forms.TextInput(attrs={"placeholder": scope.hint, "maxlength": 40, "autocomplete": "off"})
            made = filters.CharFilter(label=scope.label, method=within, widget=field)
        made.parent, made.model, made.field_name = self, Entry, scope.name
        return made

    def in_period(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        """Since the beginning of a day, in the organization's zone."""
        today = timezone.localtime(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
        return rows.filter(at__gte=today - timedelta(days=_PERIODS[value]))

    def since_day(self, rows: QuerySet[Entry], name: str, value: date) -> QuerySet[Entry]:
        """Since the beginning of that day, in the organization's zone."""
        return rows.filter(at__gte=_begins(value))

    def until_day(self, rows: QuerySet[Entry], name: str, value: date) -> QuerySet[Entry]:
        """To the end of that day, in the organization's zone."""
        return rows.filter(at__lt=_begins(value + timedelta(days=1))) if value < date.max else rows

    def of_case(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        """Of one case, named by its number; anything else finds nothing."""
        found = _CASE.fullmatch(value.strip())
        return rows.filter(case_id=int(found[1])) if found else rows.none()
