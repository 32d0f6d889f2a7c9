"""How a legal hold on a customer finds the customer's cases."""

from django.db.models import QuerySet

from auditlog.retention.kinds import find_cases_by
from workflows.models import Case


def _of_parties(organization_id: int, parties: list[str]) -> QuerySet[Case, int]:
    return Case.objects.filter(organization_id=organization_id, party__in=parties).values_list("pk", flat=True)


def register() -> None:
    """Let holds name customers."""
    find_cases_by(_of_parties)
