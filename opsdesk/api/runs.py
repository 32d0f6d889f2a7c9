"""Runs: how far the work on a case is."""

from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from ninja import Schema

from accounts.tokens import Scope
from opsdesk.api.cases import Before, Limit, page_of
from opsdesk.api.desk import Caller, api, needs
from workflows.models import Run
from workflows.states import RunState


class RunOut(Schema):
    """A run: what it waits for and why, in words."""

    id: int
    case_id: int
    workflow: str
    version: int
    state: str
    waits_for: str
    reason: str
    wake_at: datetime | None

    @staticmethod
    def resolve_workflow(run: Run) -> str:
        return run.workflow.slug

    @staticmethod
    def resolve_version(run: Run) -> int:
        return run.version.number


class Runs(Schema):
    """Some of them, newest first; `next` is what to send as `before` for those after them."""

    items: list[RunOut]
    next: int | None


def _visible(request: Caller) -> Any:
    return Run.objects.visible_to(request.membership).select_related("workflow", "version")


@api.get("/runs", response=Runs, url_name="runs", summary="List runs")
@needs(Scope.CASES_READ)
def list_runs(
    request: Caller, state: RunState | None = None, case: int | None = None, before: Before = None, limit: Limit = 50
) -> Any:
    """Newest first; “state” and “case” narrow them down."""
    rows = _visible(request)
    rows = rows.filter(state=state) if state else rows
    return page_of(rows.filter(case_id=case) if case else rows, before, limit)


@api.get("/runs/{int:pk}", response=RunOut, url_name="run", summary="One run")
@needs(Scope.CASES_READ)
def one_run(request: Caller, pk: int) -> Any:
    """A run of the token's organization."""
    return get_object_or_404(_visible(request), pk=pk)
