"""How a person narrows the queue; the state of every filter lives in the URL."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django_filters import CharFilter, ChoiceFilter, Filter, FilterSet

from accounts.models import Membership, User
from accounts.roles import GRANTS, Permission
from approvals.models import ReasonCode, Review
from opsdesk.lib.money import SYMBOLS, BadAmount, Money
from opsdesk.lib.wording import plain

NOBODY, ME = "nobody", "me"
_DECIDING = [role for role, granted in GRANTS.items() if Permission.DECIDE in granted]


class AmountField(forms.CharField):
    """An amount in the currency of the organization, as a person types it: 38, 38.25, £38.25."""

    def __init__(self, *, currency: str = "", **options: Any) -> None:
        self.currency = currency
        super().__init__(max_length=24, **options)

    def clean(self, value: Any) -> Any:
        """The amount as Money, or None where nothing was typed."""
        text = super().clean(value).replace(",", "").removeprefix(SYMBOLS.get(self.currency, "£"))
        try:
            return Money.parse(text.strip(), self.currency) if text else None
        except BadAmount as refusal:
            raise ValidationError(str(refusal)) from refusal


class AmountFilter(Filter):
    """Cases whose amount compares to the given one; those in other currencies cannot be compared and are left out."""

    field_class = AmountField

    def filter(self, qs: QuerySet[Any], value: Money | None) -> QuerySet[Any]:
        if value is None:
            return qs
        return qs.filter(case__currency=value.currency, **{f"case__amount_minor__{self.lookup_expr}": value.minor})


class ReviewFilter(FilterSet):
    """Text, amounts, the requester's reason, and who has it."""

    text = CharFilter(method="by_text", label="Reference, customer or payment", max_length=100)
    least = AmountFilter(lookup_expr="gte", label="At least")
    most = AmountFilter(lookup_expr="lte", label="At most")
    reason = ChoiceFilter(field_name="case__reason", label="Reason given", empty_label="Any reason")
    assignee = ChoiceFilter(method="by_assignee", label="Who has it", empty_label="Anybody")

    class Meta:
        model = Review
        fields: list[str] = []

    def __init__(self, data: Any, *, queryset: QuerySet[Any], membership: Membership) -> None:
        super().__init__(data, queryset=queryset)
        self.membership = membership
        currency = membership.organization.currency
        for name, words in (("least", "From"), ("most", "To")):
            field = {
                "currency": currency,
                "widget": forms.TextInput(attrs={"placeholder": words, "inputmode": "decimal"}),
            }
            self.filters[name].extra.update(field)
        self.filters["text"].extra["widget"] = forms.TextInput(
            attrs={"type": "search", "placeholder": "Reference, customer, payment"}
        )
        self.filters["reason"].extra["choices"] = lambda: _reasons(membership)
        self.filters["assignee"].extra["choices"] = lambda: _people(membership)

    def by_text(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Part of the reference, the customer's number or name, or the payment; CASE-12 is the case itself."""
        number = value.upper().removeprefix("CASE-")
        own = Q(case_id=int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else Q()
        fields = ("case__key", "case__party", "case__party_name", "case__target")
        found = own if own else Q(pk=None)
        for field in fields:
            found |= Q(**{f"{field}__icontains": value})
        return rows.filter(found)

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
