"""What triggers can watch among the engine's own rows: open cases, waiting runs, failures that nobody resolved."""

from typing import Any

from django.db.models import Q

from workflows.models import Case, Failure, Run
from workflows.registry import Standing, Watched, add_watched
from workflows.states import CASE_FINAL, FailureState, RunState


def tell_case(case: Case) -> dict[str, Any]:
    """What the event of a trigger says about a case."""
    return {
        "case": str(case),
        "case_key": case.key,
        "party": case.party,
        "amount": f"{case.amount.decimal}" if case.amount else None,
        "currency": case.currency or None,
        "target": case.target or None,
    }


TELLS_OF_CASE = ("case", "case_key", "party", "amount", "currency", "target")


def register() -> None:
    """Let triggers watch these."""
    add_watched(
        Watched(
            name="case",
            label="a case",
            rows=lambda organization_id: Case.objects.filter(organization_id=organization_id),
            tell=tell_case,
            tells=TELLS_OF_CASE,
            standings={"open": Standing("open", ~Q(state__in=sorted(CASE_FINAL)), "opened_at")},
        )
    )
    add_watched(
        Watched(
            name="run",
            label="a run",
            rows=lambda organization_id: Run.objects.filter(organization_id=organization_id).select_related("case"),
            tell=lambda run: {"run": f"RUN-{run.pk}", "why": run.reason, **tell_case(run.case)},
            tells=("run", "why", *TELLS_OF_CASE),
            standings={"waiting": Standing("waiting", Q(state=RunState.WAITING), "waiting_since")},
        )
    )
    add_watched(
        Watched(
            name="failure",
            label="a failure",
            rows=lambda organization_id: Failure.objects.filter(organization_id=organization_id),
            tell=lambda failure: {"failure": failure.pk, "message": failure.message, "workflow": failure.workflow},
            tells=("failure", "message", "workflow"),
            standings={"unresolved": Standing("unresolved", ~Q(state=FailureState.RESOLVED), "first_at")},
        )
    )
