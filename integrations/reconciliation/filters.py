"""Filters of the list of differences; their state is the query of the address."""

from typing import Any

import django_filters as filters
from django.db.models import QuerySet

from integrations.models import Break, Connection
from integrations.states import BreakKind, BreakState


def _own_connections(request: Any) -> QuerySet[Connection]:
    return Connection.objects.filter(organization_id=request.membership.organization_id)


class BreakFilter(filters.FilterSet):
    """Differences by where they stand, what differs, and over which connection."""

    state = filters.ChoiceFilter(choices=BreakState.choices, empty_label="Any state")
    kind = filters.ChoiceFilter(choices=BreakKind.choices, empty_label="Any difference")
    connection = filters.ModelChoiceFilter(queryset=_own_connections, empty_label="Any connection")

    class Meta:
        model = Break
        fields = ["state", "kind", "connection"]
