"""Filters of the audit log; their state is the query of the address."""

import re
from collections import defaultdict
from datetime import timedelta
from typing import Any

import django_filters as filters
from django.apps import apps
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from auditlog import verbs
from auditlog.models import Entry
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


class EntryFilter(filters.FilterSet):
    """Entries by person, verb, what they are about, case and period."""

    user = filters.ModelChoiceFilter(queryset=_people, empty_label="Anyone", label="Who")
    verb = filters.ChoiceFilter(choices=_verbs, empty_label="Did anything", label="Did")
    subject_kind = filters.ChoiceFilter(choices=_kinds, empty_label="About anything", label="About")
    period = filters.ChoiceFilter(
        choices=[("today", "Today"), ("week", "Last 7 days"), ("month", "Last 30 days")],
        empty_label="Any time",
        label="When",
        method="in_period",
    )
    case = filters.CharFilter(method="of_case", label="Case")

    class Meta:
        model = Entry
        fields = ["user", "verb", "subject_kind", "period", "case"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.form.fields["case"].widget.attrs |= {"placeholder": "CASE-…", "maxlength": 24, "autocomplete": "off"}

    def in_period(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        """Since the beginning of a day, in the organization's zone."""
        today = timezone.localtime(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
        return rows.filter(at__gte=today - timedelta(days=_PERIODS[value]))

    def of_case(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        """Of one case, named by its number; anything else finds nothing."""
        found = _CASE.fullmatch(value.strip())
        return rows.filter(case_id=int(found[1])) if found else rows.none()
