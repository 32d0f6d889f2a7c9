"""Filters of the list pages; their state is the query of the address."""

from typing import Any

import django_filters as filters
from django.db.models import QuerySet

from workflows.models import Run, Workflow
from workflows.states import RunState, WaitsFor


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
