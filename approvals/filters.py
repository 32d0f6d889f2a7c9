"""How a person narrows the queue; the state of every filter lives in the URL."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import CharFilter, ChoiceFilter, FilterSet

from accounts.models import Membership, User
from accounts.roles import GRANTS, Permission
from approvals.models import ReasonCode, Review
from opsdesk.lib.wording import plain
from workflows.filters import AmountFilter, with_amount_fields
from workflows.finding import keys_of, long_enough
from workflows.models import Case

NOBODY, ME = "nobody", "me"
_DECIDING = [role for role, granted in GRANTS.items() if Permission.DECIDE in granted]


class ReviewFilter(FilterSet):
    """Text, amounts, the requester's reason, and who has it."""

    text = CharFilter(method="by_text", label="Reference, customer or payment", max_length=100)
    least = AmountFilter(case="case__", lookup_expr="gte", label="At least")
    most = AmountFilter(case="case__", lookup_expr="lte", label="At most")
    reason = ChoiceFilter(field_name="case__reason", label="Reason given", empty_label="Any reason")
    assignee = ChoiceFilter(method="by_assignee", label="Who has it", empty_label="Anybody")

    class Meta:
        model = Review
        fields: list[str] = []

    def __init__(self, data: Any, *, queryset: QuerySet[Any], membership: Membership) -> None:
        super().__init__(data, queryset=queryset)
        self.membership = membership
        with_amount_fields(self, membership.organization.currency)
        self.filters["text"].extra["validators"] = [long_enough]
        self.filters["text"].extra["widget"] = forms.TextInput(
            attrs={"type": "search", "placeholder": "Reference, customer, payment"}
        )
        self.filters["reason"].extra["choices"] = lambda: _reasons(membership)
        self.filters["assignee"].extra["choices"] = lambda: _people(membership)

    def by_text(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Part of the reference, the customer's number or name, or the payment; CASE-12 is the case itself."""
        return rows.filter(case__in=keys_of(Case.objects.visible_to(self.membership), value))

    def by_assignee(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Those given to one person, to the person who asks, or to nobody."""
        if value == NOBODY:
            return rows.filter(assignee=None)
        return rows.filter(assignee_id=self.membership.user_id if value == ME else int(value))


def _reasons(membership: Membership) -> list[tuple[str, str]]:
    """The requesters' reasons that the organization's codes know of."""
    known = ReasonCode.objects.filter(organization_id=membership.organization_id, enabled=True)
    found = {reason for suggested in known.values_list("suggested_for", flat=True) for reason in suggested}
    return [(reason, plain(reason)) for reason in sorted(found)]


def _people(membership: Membership) -> list[tuple[str, str]]:
    """Everybody who may decide in the organization."""
    people = User.objects.filter(
        is_active=True,
        memberships__organization_id=membership.organization_id,
        memberships__ended_at=None,
        memberships__role__in=_DECIDING,
    ).order_by("first_name", "last_name", "pk")
    return [(ME, "Me"), (NOBODY, "Nobody"), *((str(user.pk), str(user)) for user in people)]
