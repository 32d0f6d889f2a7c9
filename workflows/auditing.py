"""How the audit log is narrowed to cases: by the workflow they follow, and by what they are about in money."""

import re
from typing import Any

from django.db.models import QuerySet

from accounts.models import Organization
from auditlog.scopes import Scope, add_scope
from opsdesk.lib.money import BadAmount, Money
from workflows.models import Case, Run, Workflow

# “100”, “100-250”, “-250”, “100-”.
_RANGE = re.compile(r"([0-9.,]*)\s*(?:(-|–|to)\s*([0-9.,]*))?")


def register() -> None:
    """Offer both on the audit page."""
    add_scope(Scope("workflow", "Workflow", _following, choices=_workflows))
    add_scope(Scope("amount", "Amount", _amounting, hint="Amount, 100-250"))


def _workflows(organization_id: int) -> list[tuple[str, str]]:
    rows = Workflow.objects.filter(organization_id=organization_id).order_by("name")
    return [(str(row.pk), row.name) for row in rows]


def _following(organization_id: int, value: str) -> "QuerySet[Any, int] | None":
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        return None
    runs = Run.objects.filter(organization_id=organization_id, workflow_id=int(value))
    return runs.values_list("case_id", flat=True)


def _amounting(organization_id: int, value: str) -> "QuerySet[Any, int] | None":
    """Cases of so much, in the currency the organization shows first; one amount alone means that much or more."""
    found = _RANGE.fullmatch(value.strip())
    if found is None or not (found[1] or found[3]):
        return None
    currency = Organization.objects.values_list("currency", flat=True).get(pk=organization_id)
    rows = Case.objects.filter(organization_id=organization_id, currency=currency)
    try:
        if found[1]:
            rows = rows.filter(amount_minor__gte=Money.parse(found[1], currency).minor)
        if found[3]:
            rows = rows.filter(amount_minor__lte=Money.parse(found[3], currency).minor)
    except BadAmount:
        return None
    return rows.values_list("pk", flat=True)
